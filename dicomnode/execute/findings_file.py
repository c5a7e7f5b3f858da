"""Findings between run and encoding: one ``.npz`` file with the masks bit-packed and the figures as JSON.

Nothing is unpickled: ``numpy.load`` is called with ``allow_pickle=False``.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dicomnode.execute.handed import readable
from dicomnode.records import (
    BrainPart,
    Contribution,
    Finding,
    FindingConcepts,
    HeadMeasures,
    ImageFinding,
    Inapplicable,
    Level,
    MaskFinding,
    ModelRef,
    NotApplicable,
    ReferenceScore,
    Region,
    ScoreFinding,
    ScoreInput,
    Side,
    Translations,
)

FINDINGS = "findings"
"""What such a file is called where it cannot be read."""

_TYPES: dict[str, type[Finding]] = {
    "mask": MaskFinding,
    "score": ScoreFinding,
    "image": ImageFinding,
    "not_applicable": NotApplicable,
}
_ARRAYS = frozenset({"mask", "lesion_labels", "probability", "hu", "attention"})
"""Fields that are arrays of the file; all others are in its JSON."""


def save_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write atomically: a file with this name is whole."""
    write_findings(path, findings_bytes(findings))


def write_findings(path: Path, stored: bytes | memoryview) -> None:
    """Write what :func:`findings_bytes` gave, here or on another machine; atomically.

    Raises
    ------
    OSError : the disk is full or gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(stored)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def findings_bytes(findings: Sequence[Finding]) -> bytes:
    """The file of findings: the same bytes for the same findings, wherever they were made."""
    arrays: dict[str, Any] = {"meta": np.frombuffer(json.dumps([_meta(f) for f in findings]).encode(), dtype=np.uint8)}
    for index, finding in enumerate(findings):
        if isinstance(finding, MaskFinding):
            arrays[f"mask_{index}"] = np.packbits(finding.mask)
            arrays[f"labels_{index}"] = finding.lesion_labels
        if isinstance(finding, ImageFinding):
            arrays[f"hu_{index}"] = finding.hu.astype(np.float32)
        if isinstance(finding, MaskFinding | ImageFinding) and finding.probability is not None:
            arrays[f"probability_{index}"] = finding.probability.astype(np.uint16)
        if isinstance(finding, ScoreFinding) and finding.attention is not None:
            arrays[f"attention_{index}"] = finding.attention.astype(np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def load_findings(path: Path | BinaryIO) -> tuple[Finding, ...]:
    """Read what :func:`save_findings` wrote.

    Raises
    ------
    InferenceError : the file is missing or damaged.
    OSError, MemoryError : disk or memory failed; see :mod:`dicomnode.environment`.
    """
    with readable(FINDINGS), np.load(path, allow_pickle=False) as arrays:
        meta = json.loads(arrays["meta"].tobytes())
        return tuple(_finding(item, arrays, index) for index, item in enumerate(meta))


def _meta(finding: Finding) -> dict[str, Any]:
    """All but the arrays."""
    kind = next(name for name, record in _TYPES.items() if isinstance(finding, record))
    plain = {field.name: _plain(getattr(finding, field.name)) for field in fields(finding) if field.name not in _ARRAYS}
    shape = {"shape": list(finding.mask.shape)} if isinstance(finding, MaskFinding) else {}
    return {"type": kind, **plain, **shape}


def _plain(value: Any) -> Any:
    """Records within a finding as dictionaries, for JSON."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _finding(meta: dict[str, Any], arrays: Any, index: int) -> Finding:
    record = _TYPES.get(meta.pop("type"))
    if record is None:
        raise ValueError("a finding of an unknown type")
    shape = meta.pop("shape", None)
    parts = {key: _READ.get(key, _as_stored)(value) for key, value in meta.items()}
    return record(**parts, **_arrays_of(record, arrays, index, shape))


def _arrays_of(record: type[Finding], arrays: Any, index: int, shape: Sequence[int] | None) -> dict[str, Any]:
    if record is ImageFinding:
        return {"hu": arrays[f"hu_{index}"], "probability": arrays.get(f"probability_{index}")}
    if record is ScoreFinding:
        return {"attention": arrays.get(f"attention_{index}")}
    if shape is None:
        return {}
    bits = np.unpackbits(arrays[f"mask_{index}"], count=int(np.prod(shape)))
    return {
        "mask": bits.reshape(tuple(shape)).astype(bool),
        "lesion_labels": arrays[f"labels_{index}"],
        "probability": arrays.get(f"probability_{index}"),
    }


def _as_stored(value: Any) -> Any:
    """Lists were tuples."""
    return tuple(value) if isinstance(value, list) else value


def _reference(item: dict[str, Any]) -> ReferenceScore:
    inputs = tuple(ScoreInput(**one) for one in item.get("inputs", ()))
    return ReferenceScore(**{key: _as_stored(value) for key, value in item.items() if key != "inputs"}, inputs=inputs)


def _region(item: dict[str, Any] | None) -> Region | None:
    if item is None:
        return None
    place = {
        "side": None if item["side"] is None else Side(item["side"]),
        "level": None if item["level"] is None else Level(item["level"]),
        "parts": tuple(BrainPart(part) for part in item.get("parts", ())),
        "shares": tuple((BrainPart(part), share) for part, share in item.get("shares", ())),
    }
    return Region(**{key: _as_stored(value) for key, value in item.items()} | place)


def _translations(items: list[list[str]]) -> Translations:
    return tuple((language, text) for language, text in items)


def _model(item: dict[str, Any]) -> ModelRef:
    return ModelRef(**item | {"translations": _translations(item["translations"])})


def _concepts(item: dict[str, Any] | None) -> FindingConcepts | None:
    return None if item is None else FindingConcepts(**{key: _as_stored(value) for key, value in item.items()})


def _head(item: dict[str, Any] | None) -> HeadMeasures | None:
    return None if item is None else HeadMeasures(**{key: _as_stored(value) for key, value in item.items()})


_READ: dict[str, Callable[[Any], Any]] = {
    "model": _model,
    "translations": _translations,
    "total": _region,
    "head": _head,
    "lesions": lambda items: tuple(map(_region, items)),
    "concepts": _concepts,
    "reference": lambda items: tuple(map(_reference, items)),
    "inputs": lambda items: tuple(ScoreInput(**item) for item in items),
    "contributions": lambda items: tuple(Contribution(**item) for item in items),
    "reason": Inapplicable,
}
"""How a field is read back; all others are plain."""

"""Findings between run and encoding: one ``.npz`` file with the masks bit-packed and the figures as JSON.

Nothing is unpickled: ``numpy.load`` is called with ``allow_pickle=False``.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import InferenceError
from dicomnode.records import (
    Finding,
    FindingConcepts,
    ImageFinding,
    MaskFinding,
    ModelRef,
    ReferenceScore,
    Region,
    ScoreFinding,
    ScoreInput,
)

_DAMAGE = (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error)
"""What numpy, zipfile and json raise on a file that is cut short, overwritten or of another make."""


def save_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write atomically: a file with this name is whole."""
    arrays: dict[str, Any] = {"meta": np.frombuffer(json.dumps([_meta(f) for f in findings]).encode(), dtype=np.uint8)}
    for index, finding in enumerate(findings):
        if isinstance(finding, MaskFinding):
            arrays[f"mask_{index}"] = np.packbits(finding.mask)
            arrays[f"labels_{index}"] = finding.lesion_labels.astype(np.int32)
            if finding.probability is not None:
                arrays[f"probability_{index}"] = finding.probability.astype(np.uint16)
        if isinstance(finding, ImageFinding):
            arrays[f"hu_{index}"] = finding.hu.astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_findings(path: Path) -> tuple[Finding, ...]:
    """Read what :func:`save_findings` wrote.

    Raises
    ------
    InferenceError : the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            meta = json.loads(arrays["meta"].tobytes())
            return tuple(_finding(item, arrays, index) for index, item in enumerate(meta))
    except _DAMAGE as fault:
        raise InferenceError(f"findings cannot be read: {type(fault).__name__}") from fault


def _meta(finding: Finding) -> dict[str, Any]:
    if isinstance(finding, ScoreFinding):
        return {"type": "score", **asdict(finding)}
    if isinstance(finding, ImageFinding):
        plain = {key: getattr(finding, key) for key in ("name", "label", "horizon", "warnings")}
        return {"type": "image", **plain, "model": asdict(finding.model)}
    return {
        "type": "mask",
        "name": finding.name,
        "label": finding.label,
        "shape": list(finding.mask.shape),
        "threshold": finding.threshold,
        "detection_limit_ml": finding.detection_limit_ml,
        "model": asdict(finding.model),
        "total": None if finding.total is None else asdict(finding.total),
        "lesions": [asdict(lesion) for lesion in finding.lesions],
        "concepts": None if finding.concepts is None else asdict(finding.concepts),
        "exam_probability": finding.exam_probability,
        "exam_threshold": finding.exam_threshold,
    }


def _finding(meta: dict[str, Any], arrays: Any, index: int) -> Finding:
    kind = meta.pop("type")
    if kind == "score":
        return _score(meta)
    if kind == "image":
        parts = {"hu": arrays[f"hu_{index}"], "model": ModelRef(**meta["model"]), "warnings": tuple(meta["warnings"])}
        return ImageFinding(**{**meta, **parts})
    if kind == "mask":
        probability = arrays.get(f"probability_{index}")
        return replace(_mask(meta, arrays[f"mask_{index}"], arrays[f"labels_{index}"]), probability=probability)
    raise ValueError("a finding of an unknown type")


def _score(meta: dict[str, Any]) -> ScoreFinding:
    parts = {
        **{key: tuple(meta[key]) for key in ("interval", "category") if meta[key] is not None},
        **{key: tuple(meta[key]) for key in ("missing", "warnings")},
        "reference": tuple(_reference(item) for item in meta["reference"]),
        "inputs": tuple(ScoreInput(**item) for item in meta["inputs"]),
        "model": ModelRef(**meta["model"]),
    }
    return ScoreFinding(**{**meta, **parts})


def _reference(item: dict[str, Any]) -> ReferenceScore:
    possible = None if item["possible"] is None else tuple(item["possible"])
    return ReferenceScore(**{**item, "possible": possible})


def _mask(meta: dict[str, Any], packed: NDArray[np.uint8], labels: NDArray[np.int32]) -> MaskFinding:
    shape = tuple(meta["shape"])
    bits = np.unpackbits(packed, count=int(np.prod(shape)))
    return MaskFinding(
        name=meta["name"],
        label=meta["label"],
        mask=bits.reshape(shape).astype(bool),
        threshold=meta["threshold"],
        detection_limit_ml=meta["detection_limit_ml"],
        model=ModelRef(**meta["model"]),
        total=None if meta["total"] is None else _region(meta["total"]),
        lesions=tuple(_region(item) for item in meta["lesions"]),
        lesion_labels=labels,
        concepts=_concepts(meta.get("concepts")),
        exam_probability=meta.get("exam_probability"),
        exam_threshold=meta.get("exam_threshold"),
    )


def _concepts(item: dict[str, Any] | None) -> FindingConcepts | None:
    """Files of earlier versions have none."""
    if item is None:
        return None
    site = None if item["site"] is None else tuple(item["site"])
    return FindingConcepts(tuple(item["category"]), tuple(item["type"]), site)


def _region(item: dict[str, Any]) -> Region:
    return Region(**{**item, "centroid_mm": tuple(item["centroid_mm"])})

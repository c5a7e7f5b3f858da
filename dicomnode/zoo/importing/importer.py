"""Brings a foreign MONAI bundle into the models folder: judged, tried, converted, pinned; whole or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dicomnode.errors import BundleError, BundleRefused, ImportRefusal
from dicomnode.zoo.bundle import METADATA, BundleManifest, bundle_digest, load_manifest
from dicomnode.zoo.importing.allowed import as_it_is_built, require_allowed
from dicomnode.zoo.importing.archive import CARD, copy_texts, look_into, text_of, unpack, weights_of
from dicomnode.zoo.importing.child import answer_of, sha256_of
from dicomnode.zoo.importing.foreign import (
    ForeignMetadata,
    ImportOptions,
    check_name,
    chosen_channels,
    code_of,
    executed_by,
    name_of,
    read_config,
    read_metadata,
    section_of,
)
from dicomnode.zoo.manifest import ImageOutput, MaskOutput, Output, ScoreOutput
from dicomnode.zoo.registry import pin

TRIAL = "dicomnode.zoo.importing.trial"
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Imported:
    """A bundle that is in the models folder now.

    Attributes
    ----------
    digest : pinned in the folder.
    executed : expressions and targets of its configuration that are not MONAI's own.
    """

    manifest: BundleManifest
    digest: str
    executed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A bundle that may come in. ``metadata``: None for one that has a ``dicomnode`` section of its own.

    ``forbidden``: why it may not, whoever trusts it.
    """

    name: str
    raw: dict[str, Any]
    metadata: ForeignMetadata | None
    executed: tuple[str, ...]
    forbidden: BundleRefused | None


def import_bundle(source: Path, into: Path, options: ImportOptions, taken: Collection[str] = ()) -> Imported:
    """Import a bundle.

    Nothing of it is unpacked, executed or read as weights unless ``options.trusted``. Then it may build networks,
    transforms and inferers alone (:mod:`~dicomnode.zoo.importing.allowed`), in a process that is limited
    (:mod:`~dicomnode.zoo.importing.confined`); weights are read there, tensors only, and kept as safetensors.

    Parameters
    ----------
    source : folder or zip file in the MONAI layout.
    into : the models folder; gets ``<name>/``, and its digest in ``pinned.json``.
    taken : names of models that the node knows already.

    Raises
    ------
    BundleRefused : with the coded reason; the models folder is as it was.
    """
    into.mkdir(parents=True, exist_ok=True)
    # two levels deep: a registry that reads the folder meanwhile does not take it for a bundle
    with look_into(source) as seen:
        judged = _judged(seen, options)
    require_free(judged.name, into, taken)
    if not options.trusted:
        raise BundleRefused(ImportRefusal.NOT_TRUSTED, _said(judged))
    if judged.forbidden is not None:
        raise judged.forbidden
    with tempfile.TemporaryDirectory(prefix=".import-", dir=into) as scratch:
        folder = unpack(source, Path(scratch) / "unpacked")
        staged, weights = Path(scratch) / "staged" / judged.name, weights_of(folder)
        copy_texts(folder, staged)
        trial = answer_of(TRIAL, (staged, weights), Path(scratch) / "reply.json")
        _describe(staged, folder, judged, options, trial)
        return put_in_place(staged, into, judged.executed)


def require_free(name: str, into: Path, taken: Collection[str]) -> None:
    """Refuse a name that a model has.

    Raises
    ------
    BundleRefused : ``NAME_TAKEN``.
    """
    if name in taken or (into / name).exists():
        raise BundleRefused(ImportRefusal.NAME_TAKEN, name)


def put_in_place(staged: Path, into: Path, executed: tuple[str, ...] = ()) -> Imported:
    """Move a whole bundle into the models folder under the name of its folder, and pin it."""
    digest = bundle_digest(staged)
    placed = staged.rename(into / staged.name)
    pin(into, placed.name, digest)
    return Imported(load_manifest(placed), digest, executed)


def _judged(folder: Traversable, options: ImportOptions) -> _Judged:
    """All that can be refused without running anything."""
    own = _own_section(folder)
    if own is None:
        metadata = read_metadata(folder)
        name, raw = name_of(metadata, options), metadata.raw
        chosen_channels(metadata, options)
        for text in options.findings.values():
            code_of(text)
    else:
        metadata, raw = None, json.loads(text_of(folder / str(METADATA)))
        name = check_name(options.name or str(own.get("name", "")))
        if options.findings or options.labels:
            raise BundleRefused(
                ImportRefusal.UNKNOWN_CHANNEL, "The bundle has a dicomnode section that names its findings."
            )
    config = read_config(folder)
    weights_of(folder)
    executed, forbidden = tuple(executed_by(config)), _forbidden(config, raw)
    return _Judged(name=name, raw=raw, metadata=metadata, executed=executed, forbidden=forbidden)


def _forbidden(config: dict[str, Any], raw: dict[str, Any]) -> BundleRefused | None:
    try:
        require_allowed(as_it_is_built(config, raw), raw)
    except BundleRefused as fault:
        return fault
    return None


def _own_section(folder: Traversable) -> dict[str, Any] | None:
    """The ``dicomnode`` section of a bundle that was made for this node."""
    try:
        section = json.loads(text_of(folder / str(METADATA))).get("dicomnode")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return section if isinstance(section, dict) else None


def _said(judged: _Judged) -> str:
    """What would run, for the person who is asked to trust it."""
    executed = judged.executed
    if judged.forbidden is not None:
        return f"{_listed(executed)}\nNor would it be imported then: {judged.forbidden}"
    return _listed(executed)


def _listed(executed: Sequence[str]) -> str:
    if not executed:
        return "It has no expressions; networks, transforms and inferers of MONAI would be built as it says."
    shown = "".join(f"\n  {text[:160]}" for text in executed[:SHOWN])
    rest = f"\n  and {len(executed) - SHOWN} more" if len(executed) > SHOWN else ""
    return f"It would run:{shown}{rest}"


def _describe(staged: Path, folder: Path, judged: _Judged, options: ImportOptions, trial: dict[str, Any]) -> None:
    """Write metadata and card.

    Raises
    ------
    BundleRefused : ``CHANNELS_DIFFER``, or ``BAD_METADATA`` where the section breaks the schema.
    """
    if judged.metadata is None:
        section = {**judged.raw["dicomnode"], "name": judged.name, "research": options.research}
    else:
        section = section_of(judged.metadata, options, trial, sha256_of(weights_of(folder)))
    text = json.dumps({**judged.raw, "dicomnode": section}, indent=2, ensure_ascii=False)
    (staged / METADATA).write_text(text + "\n", encoding="utf-8")
    try:
        manifest = load_manifest(staged)
    except BundleError as error:
        raise BundleRefused(ImportRefusal.BAD_METADATA, str(error).replace(f"{staged}/", "")) from error
    (staged / CARD).parent.mkdir(parents=True, exist_ok=True)
    (staged / CARD).write_text(_card(manifest, folder), encoding="utf-8")


def _card(manifest: BundleManifest, folder: Path) -> str:
    """The node's words about an imported model, then those of its makers."""
    marked = "**Research, not for diagnosis.** " if manifest.research else ""
    channels = "\n".join(
        f"| {output.label} | {coded_as(output)} | {threshold_of(output)} |" for output in manifest.gives
    )
    theirs = folder / CARD
    words = theirs.read_text(encoding="utf-8", errors="replace") if theirs.is_file() else "They left no card."
    return (
        f"# {manifest.title}\n\n{marked}Imported from another project and not examined by this one.\n\n"
        f"Trained on: {manifest.trained_on}\n\n| gives | coded as | threshold |\n|---|---|---|\n{channels}\n\n"
        f"## What its makers say\n{words}\n"
    )


def coded_as(output: Output) -> str:
    """What an output is in reports, for people."""
    if isinstance(output, MaskOutput):
        return f"{output.type.meaning} ({output.type.value}, {output.type.scheme})"
    return f"score, unit {output.unit}" if isinstance(output, ScoreOutput) else "predicted scan"


def threshold_of(output: Output) -> str:
    """The threshold of an output, for people; ``-`` where it has none."""
    stated = None if isinstance(output, ImageOutput) else output.threshold
    return "-" if stated is None else f"{stated:g}"

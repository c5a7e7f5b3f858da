"""Brings a foreign MONAI bundle into the models folder: judged, tried, converted, pinned; whole or not at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomnode.errors import BundleError, BundleRefused, ImportRefusal
from dicomnode.zoo.bundle import METADATA, BundleManifest, bundle_digest, load_manifest
from dicomnode.zoo.importing.archive import CARD, copy_texts, unpack, weights_of
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

TRIAL_TIMEOUT_S = 900.0
SHOWN = 12
HASH_BLOCK = 1 << 20


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
    """A bundle that may come in. ``metadata``: None for one that has a ``dicomnode`` section of its own."""

    folder: Path
    name: str
    raw: dict[str, Any]
    metadata: ForeignMetadata | None
    executed: tuple[str, ...]
    weights: Path


def import_bundle(source: Path, into: Path, options: ImportOptions, taken: Collection[str] = ()) -> Imported:
    """Import a bundle.

    Nothing of it is executed and no weights are read unless ``options.trusted``; weights are read in a process of their
    own, tensors only, and kept as safetensors.

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
    with tempfile.TemporaryDirectory(prefix=".import-", dir=into) as scratch:
        judged = _judged(unpack(source, Path(scratch) / "unpacked"), options)
        if judged.name in taken or (into / judged.name).exists():
            raise BundleRefused(ImportRefusal.NAME_TAKEN, judged.name)
        if not options.trusted:
            raise BundleRefused(ImportRefusal.NOT_TRUSTED, _said(judged.executed))
        staged = Path(scratch) / "staged" / judged.name
        copy_texts(judged.folder, staged)
        trial = _try_out(staged, judged.weights, Path(scratch) / "reply.json")
        _describe(staged, judged, options, trial)
        digest = bundle_digest(staged)
        staged.rename(into / judged.name)
    pin(into, judged.name, digest)
    return Imported(load_manifest(into / judged.name), digest, judged.executed)


def _judged(folder: Path, options: ImportOptions) -> _Judged:
    """All that can be refused without running anything."""
    own = _own_section(folder)
    if own is None:
        metadata = read_metadata(folder)
        name, raw = name_of(metadata, options), metadata.raw
        chosen_channels(metadata, options)
        for text in options.findings.values():
            code_of(text)
    else:
        metadata, raw = None, json.loads((folder / METADATA).read_text(encoding="utf-8"))
        name = check_name(options.name or str(own.get("name", "")))
        if options.findings or options.labels:
            raise BundleRefused(
                ImportRefusal.UNKNOWN_CHANNEL, "The bundle has a dicomnode section that names its findings."
            )
    executed = tuple(executed_by(read_config(folder)))
    return _Judged(folder=folder, name=name, raw=raw, metadata=metadata, executed=executed, weights=weights_of(folder))


def _own_section(folder: Path) -> dict[str, Any] | None:
    """The ``dicomnode`` section of a bundle that was made for this node."""
    try:
        section = json.loads((folder / METADATA).read_text(encoding="utf-8")).get("dicomnode")
    except (OSError, ValueError, AttributeError):
        return None
    return section if isinstance(section, dict) else None


def _said(executed: Sequence[str]) -> str:
    """What would run, for the person who is asked to trust it."""
    if not executed:
        return "It has no expressions; MONAI's own classes would be built as it says."
    shown = "".join(f"\n  {text[:160]}" for text in executed[:SHOWN])
    rest = f"\n  and {len(executed) - SHOWN} more" if len(executed) > SHOWN else ""
    return f"It would run:{shown}{rest}"


def _try_out(staged: Path, weights: Path, reply: Path) -> dict[str, Any]:
    """Convert, build and run in a process of its own; see :mod:`dicomnode.zoo.importing.trial`."""
    command = [sys.executable, "-m", "dicomnode.zoo.importing.trial", str(staged), str(weights), str(reply)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=TRIAL_TIMEOUT_S
        )
        said: dict[str, Any] = json.loads(reply.read_text(encoding="utf-8"))
    except subprocess.TimeoutExpired as error:
        raise BundleRefused(ImportRefusal.CANNOT_RUN, f"No answer within {TRIAL_TIMEOUT_S:.0f} s.") from error
    except (OSError, ValueError) as error:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise BundleRefused(
            ImportRefusal.CANNOT_RUN, f"Its process ended with {done.returncode}: {last[0][:300]}"
        ) from error
    if "refusal" in said:
        raise BundleRefused(ImportRefusal(said["refusal"]), said["detail"])
    return said


def _describe(staged: Path, judged: _Judged, options: ImportOptions, trial: dict[str, Any]) -> None:
    """Write metadata and card.

    Raises
    ------
    BundleRefused : ``CHANNELS_DIFFER``, or ``BAD_METADATA`` where the section breaks the schema.
    """
    if judged.metadata is None:
        section = {**judged.raw["dicomnode"], "name": judged.name, "research": options.research}
    else:
        section = section_of(judged.metadata, options, trial, _sha256(judged.weights))
    text = json.dumps({**judged.raw, "dicomnode": section}, indent=2, ensure_ascii=False)
    (staged / METADATA).write_text(text + "\n", encoding="utf-8")
    try:
        manifest = load_manifest(staged)
    except BundleError as error:
        raise BundleRefused(ImportRefusal.BAD_METADATA, str(error).replace(f"{staged}/", "")) from error
    (staged / CARD).parent.mkdir(parents=True, exist_ok=True)
    (staged / CARD).write_text(_card(manifest, judged.folder), encoding="utf-8")


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


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()

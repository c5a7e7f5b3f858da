"""A bundle on disk: its manifest and its digest. No torch here: the receiving process reads it too.

A bundle is a folder with ``configs/metadata.json`` (the MONAI bundle metadata with a ``dicomnode`` section),
``configs/inference.json``, ``models/model.safetensors`` and ``docs/README.md`` (the model card).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dicomnode.errors import BundleError, Refusal, SeriesError
from dicomnode.language import model_name
from dicomnode.records import ModelRef, Stack
from dicomnode.zoo.manifest import HOURS, ImageOutput, ModelSection, Output, ScoreOutput, as_record

METADATA = Path("configs/metadata.json")
DIGEST_FOLDERS = ("configs", "models")
DIGEST_BLOCK = 1 << 20


class _Metadata(BaseModel):
    """The MONAI part is checked by MONAI; only what is used here is required."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    version: str = Field(min_length=1, max_length=64)
    dicomnode: ModelSection


class BundleManifest(ModelSection):
    """What the node knows of a bundle without loading it.

    Attributes
    ----------
    path : of the bundle's folder.
    version : of the bundle.
    horizon_h : hours to what it foretells; None where the bundle leaves no choice.
    """

    path: Path
    version: str
    horizon_h: float | None = None

    @property
    def chosen_h(self) -> float | None:
        """Its hours, where they are others than those that the bundle itself has."""
        is_own = self.horizon is None or self.horizon_h == self.horizon.default_h
        return None if is_own else self.horizon_h

    def model_ref(self, digest: str) -> ModelRef:
        """Reference that every finding carries; ``digest`` from :func:`bundle_digest`."""
        return ModelRef(
            name=self.name,
            version=self.version,
            digest=digest,
            title=self.title,
            trained_on=self.trained_on,
            research=self.research,
            translations=as_record(self.trained_on_translations),
        )


def load_manifest(path: Path, horizons_h: Mapping[str, float] | None = None) -> BundleManifest:
    """Read and validate ``configs/metadata.json``.

    Parameters
    ----------
    horizons_h : hours to what a model foretells, by its name, in place of its own.

    Raises
    ------
    BundleError : the file is missing, is no JSON, or breaks the schema, or hours that it does not allow; every fault is
        named.
    """
    file = path / METADATA
    try:
        metadata = _Metadata.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise BundleError(f"{file}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise BundleError(f"{file}: not JSON: {error}") from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise BundleError("\n".join(f"{file}: {fault}" for fault in faults)) from error
    section = metadata.dicomnode
    hours = None if section.horizon is None else section.horizon.default_h
    if model_name(section.name) in (horizons_h or {}):
        hours = _chosen(section, (horizons_h or {})[model_name(section.name)])
    manifest = BundleManifest.model_construct(path=path, version=metadata.version, horizon_h=hours, **dict(section))
    if hours is None:
        return manifest
    return manifest.model_copy(update={"gives": tuple(_at(output, hours) for output in manifest.gives)})


def _chosen(section: ModelSection, hours: float) -> float:
    """Hours that a configuration chooses.

    Raises
    ------
    BundleError : there is nothing to choose, or it lies outside of what was trained on.
    """
    horizon = section.horizon
    if horizon is None:
        raise BundleError(f"hours are given for {section.name}, which foretells nothing or leaves no choice")
    if not horizon.min_h <= hours <= horizon.max_h:
        raise BundleError(f"{section.name}: {hours:g} h lie outside of {horizon.min_h:g} to {horizon.max_h:g} h")
    return hours


def _at(output: Output, hours: float) -> Output:
    said = f"{hours:g}"
    if isinstance(output, ImageOutput):
        return output.model_copy(update={"horizon": output.horizon.replace(HOURS, said)})
    if isinstance(output, ScoreOutput):
        foretells = output.foretells and output.foretells.model_copy(update={"at_h": hours})
        words = {"definition": output.definition.replace(HOURS, said)}
        return output.model_copy(update={**words, "foretells": foretells})
    return output


def _digest_files(path: Path) -> list[Path]:
    found = [file for folder in DIGEST_FOLDERS for file in (path / folder).rglob("*") if file.is_file()]
    return sorted((f for f in found if "__pycache__" not in f.parts), key=lambda f: f.relative_to(path).as_posix())


def bundle_digest(path: Path) -> str:
    """Digest of what decides a bundle's results: the files below ``configs/`` and ``models/``, by name and content.

    Returns
    -------
    ``sha256:<hex>``. Names and contents enter with their lengths, so no two different bundles share a byte stream.

    Raises
    ------
    BundleError : there are no such files, or one cannot be read.
    """
    files = _digest_files(path)
    if not files:
        raise BundleError(f"{path}: no files below {' or '.join(DIGEST_FOLDERS)}")
    digest = hashlib.sha256()
    try:
        for file in files:
            name = file.relative_to(path).as_posix().encode()
            digest.update(len(name).to_bytes(8, "big") + name + file.stat().st_size.to_bytes(8, "big"))
            with file.open("rb") as stream:
                while block := stream.read(DIGEST_BLOCK):
                    digest.update(block)
    except OSError as error:
        raise BundleError(f"{path}: {error}") from error
    return f"sha256:{digest.hexdigest()}"


def misfits(manifest: BundleManifest, stack: Stack) -> list[str]:
    """Everything in the geometry that lies outside the model's limits, in plain words; empty when it fits.

    A model that needs no image fits any.
    """
    needed = manifest.needs.image
    if needed is None:
        return []
    values = [
        ("slices", needed.slices, [float(len(stack.order))]),
        ("slice spacing in mm", needed.slice_spacing_mm, [float(gap) for gap in stack.spacings_mm]),
        ("pixel spacing in mm", needed.pixel_spacing_mm, [stack.row_spacing_mm, stack.column_spacing_mm]),
        ("coverage in mm", needed.coverage_mm, [stack.coverage_mm]),
    ]
    faults = []
    for name, allowed, seen in values:
        wrong = [value for value in seen if not allowed.holds(value)]
        if wrong:
            faults.append(f"{name} {wrong[0]:.3g}, allowed {allowed.min} to {allowed.max}")
    return faults


def require_fit(manifest: BundleManifest, stack: Stack) -> None:
    """Refuse a stack outside the model's limits.

    Raises
    ------
    SeriesError : ``OUTSIDE_INTENDED_USE`` with every misfit.
    """
    faults = misfits(manifest, stack)
    if faults:
        raise SeriesError(Refusal.OUTSIDE_INTENDED_USE, f"{manifest.name}: {'; '.join(faults)}.")

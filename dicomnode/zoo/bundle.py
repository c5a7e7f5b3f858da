"""A bundle on disk: its manifest and its digest. No torch here: the receiving process reads it too.

A bundle is a folder with ``configs/metadata.json`` (the MONAI bundle metadata with a ``dicomnode`` section),
``configs/inference.json``, ``models/model.safetensors`` and ``docs/README.md`` (the model card).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dicomnode.errors import BundleError, Refusal, SeriesError
from dicomnode.records import CodedConcept, FindingConcepts, ModelRef, Stack

METADATA = Path("configs/metadata.json")
DIGEST_FOLDERS = ("configs", "models")
DIGEST_BLOCK = 1 << 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Code(_Frozen):
    """A coded concept (DICOM PS3.3 8.8)."""

    value: str = Field(min_length=1, max_length=16)
    scheme: str = Field(min_length=1, max_length=16)
    meaning: str = Field(min_length=1, max_length=64)

    def as_tuple(self) -> CodedConcept:
        """Value, scheme, meaning."""
        return self.value, self.scheme, self.meaning


class Range(_Frozen):
    """Closed range; None leaves a side open."""

    min: float | None = None
    max: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value lies within."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


class RequiredInput(_Frozen):
    """What a model reads. Geometry is judged on the stack, never on SliceThickness."""

    modality: str
    plane: str
    orientation: str
    slices: Range
    slice_spacing_mm: Range
    pixel_spacing_mm: Range
    coverage_mm: Range


class Output(_Frozen):
    """One output channel of the network and the finding it becomes.

    Attributes
    ----------
    name, label : machine name, and what the radiologist reads.
    threshold : probability above which a voxel belongs to the finding.
    detection_limit_ml : smallest lesion reported on its own.
    category, type : SegmentedPropertyCategoryCodeSequence and SegmentedPropertyTypeCodeSequence (PS3.3 C.8.20.2).
    site : AnatomicRegionSequence; None: that of the type, or of an unspecified lesion of the brain.
    exam_threshold : of the probability that the exam shows the finding at all; None: no such probability is given out.
    exam_slope, exam_intercept : from the score of an exam to that probability (``clinical.exam.calibrated``).
    channel : of the network, or its label; None: the outputs stand in the order of the channels.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str = Field(min_length=1, max_length=64)
    kind: str = Field(pattern=r"^mask$")
    threshold: float = Field(gt=0.0, lt=1.0)
    detection_limit_ml: float = Field(gt=0.0)
    category: Code
    type: Code
    site: Code | None = None
    channel: int | None = Field(default=None, ge=0)
    exam_threshold: float | None = Field(default=None, gt=0.0, lt=1.0)
    exam_slope: float = Field(default=1.0, gt=0.0)
    exam_intercept: float = 0.0

    @property
    def concepts(self) -> FindingConcepts:
        """How its finding is coded."""
        site = None if self.site is None else self.site.as_tuple()
        return FindingConcepts(self.category.as_tuple(), self.type.as_tuple(), site)


class VolumeReading(_Frozen):
    """A bundle that reads whole volumes by its own MONAI transforms, not the planes of this project.

    Attributes
    ----------
    channels : of the network.
    require_head : refuse what shows no brain within a skull.
    """

    channels: int = Field(ge=1)
    require_head: bool = True


class Origin(_Frozen):
    """Where an imported bundle comes from.

    Attributes
    ----------
    name, version : as its makers call it.
    weights_sha256 : of the weights file as it came, hex.
    """

    name: str
    version: str
    weights_sha256: str


class _Section(_Frozen):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    task: str
    title: str = Field(min_length=1, max_length=64)
    trained_on: str = Field(min_length=1)
    research: bool
    input: RequiredInput
    intended_use: str = Field(min_length=1)
    limits: tuple[str, ...]
    outputs: tuple[Output, ...] = Field(min_length=1)
    volume: VolumeReading | None = None
    origin: Origin | None = None

    @model_validator(mode="after")
    def _channels_are_named(self) -> _Section:
        if self.volume is not None:
            wrong = [o.name for o in self.outputs if o.channel is None or o.channel >= max(self.volume.channels, 2)]
            if wrong:
                raise ValueError(f"no channel of the network: {', '.join(wrong)}")
        return self


class _Metadata(BaseModel):
    """The MONAI part is checked by MONAI; only what is used here is required."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    version: str = Field(min_length=1, max_length=64)
    dicomnode: _Section


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """What the node knows of a bundle without loading it.

    Attributes
    ----------
    path : of the bundle's folder.
    name, version, title, task : of the model.
    trained_on : one sentence that goes into every result.
    research : True where results must be marked "research, not for diagnosis".
    intended_use, limits : what it is for, and what it is not.
    volume : how it reads whole volumes; None: it reads planes.
    origin : of an imported bundle.
    """

    path: Path
    name: str
    version: str
    title: str
    task: str
    trained_on: str
    research: bool
    input: RequiredInput
    intended_use: str
    limits: tuple[str, ...]
    outputs: tuple[Output, ...]
    volume: VolumeReading | None = None
    origin: Origin | None = None

    def model_ref(self, digest: str) -> ModelRef:
        """Reference that every finding carries; ``digest`` from :func:`bundle_digest`."""
        return ModelRef(self.name, self.version, digest, self.title, self.trained_on, self.research)


def load_manifest(path: Path) -> BundleManifest:
    """Read and validate ``configs/metadata.json``.

    Raises
    ------
    BundleError : the file is missing, is no JSON, or breaks the schema; every fault is named.
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
    return BundleManifest(
        path=path,
        name=section.name,
        version=metadata.version,
        title=section.title,
        task=section.task,
        trained_on=section.trained_on,
        research=section.research,
        input=section.input,
        intended_use=section.intended_use,
        limits=section.limits,
        outputs=section.outputs,
        volume=section.volume,
        origin=section.origin,
    )


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
    """Everything in the geometry that lies outside the model's limits, in plain words; empty when it fits."""
    needed = manifest.input
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

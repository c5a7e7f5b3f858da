"""The messages between the supervisor and its worker processes. Plain records: they cross a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dicomnode.config.sections import PROVISIONAL_NAMES
from dicomnode.decision import Outcome, ScoreOutcome
from dicomnode.environment import Fault
from dicomnode.errors import Refusal
from dicomnode.language import Language
from dicomnode.records import EncodedResult, Patient, PatientContext, ReferenceScore, Withdrawal


@dataclass(frozen=True, slots=True)
class Source:
    """The images of one series: absolute paths, and the newest of them, whose identity the results carry."""

    paths: tuple[Path, ...]
    newest: Path


@dataclass(frozen=True, slots=True)
class ReadTask:
    """Read a series and write its volume to ``volume``, for the models; None: only its header is read.

    ``timezone``: of headers without an offset. ``provisional_names``: of the configuration.
    """

    source: Source
    volume: Path | None
    timezone: str = "UTC"
    provisional_names: str = PROVISIONAL_NAMES


@dataclass(frozen=True, slots=True)
class ReadReply:
    """What was asked for is read.

    Attributes
    ----------
    context : what the images' header tells of the patient.
    patient : whose scan it is, as the newest header states it.
    scanned_at : of the acquisition, seconds since the epoch; None where the header does not tell.
    brain_hu : commonest attenuation of soft tissue in the volume; None where there is none, or no volume was asked for.
    """

    context: PatientContext
    patient: Patient
    scanned_at: float | None
    seconds: dict[str, float]
    brain_hu: float | None = None


@dataclass(frozen=True, slots=True)
class DigestTask:
    """Decode the pixels of one file and say their digest."""

    path: Path


@dataclass(frozen=True, slots=True)
class DigestReply:
    """Equal for equal pixels and geometry."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InferTask:
    """Run one model and write its findings.

    Attributes
    ----------
    volume : written by a :class:`ReadTask`; None for a model that needs no image.
    earlier : findings that the model needs, of runs before it.
    findings : gets the findings.
    keep_probability : masks carry the probability of every voxel, too.
    """

    model: str
    volume: Path | None
    context: PatientContext
    earlier: tuple[Path, ...]
    findings: Path
    keep_probability: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InferReply:
    """The findings are on disk. ``outcomes``: what each mask among them comes to; ``scores``: the numbers.

    ``made_do``: with what the run made do, for want of memory; empty where it had enough.
    """

    model_digest: str
    device: str
    seconds: dict[str, float]
    outcomes: tuple[Outcome, ...] = ()
    scores: tuple[ScoreOutcome, ...] = ()
    made_do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeTask:
    """Encode the findings of all runs of a job together, into ``folder``.

    ``requested``: kinds of result that the job's destinations take; those encoded on request only are made for these.
    ``predecessors``: superseded results whose place the new ones take. ``context``: for the reference scores.
    ``unasked_scores``: they are given for every bleed.
    """

    source: Source
    findings: tuple[Path, ...]
    folder: Path
    protocol: str
    settings_digest: str
    generation: int
    timezone: str
    station_ae_title: str
    context: PatientContext
    requested: tuple[str, ...] = ()
    predecessors: tuple[EncodedResult, ...] = ()
    language: Language = Language.BRITISH
    unasked_scores: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionTask:
    """Write a rejection note for results, into ``folder``. ``header``: a file that tells whose they are."""

    header: Path
    results: tuple[EncodedResult, ...]
    why: Withdrawal
    folder: Path
    timezone: str
    station_ae_title: str
    language: Language = Language.BRITISH


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPerformedTask:
    """Write a "not performed" report into ``folder``. ``paths``: images, oldest first; ``research``: of the models."""

    paths: tuple[Path, ...]
    refusal: Refusal
    detail: str
    protocol: str
    research: bool
    generation: int
    folder: Path
    timezone: str
    station_ae_title: str
    language: Language = Language.BRITISH


class Uncompared(StrEnum):
    """Why voxels were not compared; a refusal of the images (:class:`dicomnode.errors.Refusal`) is one, too."""

    IMAGES_GONE = "images_gone"
    FINDINGS_GONE = "findings_gone"
    NO_FORECAST = "no_forecast"
    NO_REGISTRATION = "no_registration"
    NOT_OVERLAPPING = "not_overlapping"
    OUT_OF_MEMORY = "out_of_memory"
    TOOK_TOO_LONG = "took_too_long"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareTask:
    """Hold a predicted scan against the CT that came.

    Attributes
    ----------
    first, later : both scans.
    forecast : findings of the run that predicted; the first image among them counts.
    findings : of the later scan, with the mask named ``finding``.
    """

    first: Source
    later: Source
    forecast: Path
    findings: tuple[Path, ...]
    finding: str


@dataclass(frozen=True, slots=True)
class CompareReply:
    """How near the forecast came; see :class:`dicomnode.zoo.followup.course.CourseFigures`."""

    figures: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class EncodeReply:
    """The results are on disk, validated. ``reference``: the reference scores in them."""

    results: tuple[EncodedResult, ...]
    seconds: dict[str, float]
    reference: tuple[ReferenceScore, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded what it needs. ``models``: digest by name."""

    device: str
    models: dict[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong. ``refusal``: the images are at fault; else the model or the code is.

    Attributes
    ----------
    message : without values of the images' headers.
    stage : ``FINDINGS`` where the findings on disk are of no use.
    fault : whether it passes; what does is no fault of images, model or code.
    """

    message: str
    refusal: str = ""
    detail: str = ""
    stage: str = ""
    fault: Fault = Fault.STAYS


FINDINGS = "findings"

Task = ReadTask | DigestTask | InferTask | EncodeTask | RejectionTask | NotPerformedTask | CompareTask
Reply = ReadReply | DigestReply | InferReply | EncodeReply | CompareReply | Ready | Failure

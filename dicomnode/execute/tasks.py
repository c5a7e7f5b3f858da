"""The messages between the supervisor and a worker process. Plain records: they cross a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dicomnode.errors import Refusal
from dicomnode.records import EncodedResult


@dataclass(frozen=True, slots=True)
class Source:
    """The images of one series: absolute paths, and the newest of them, whose identity the results carry."""

    paths: tuple[Path, ...]
    newest: Path


@dataclass(frozen=True, slots=True)
class RunTask:
    """Run one model on a series and write its findings to ``findings``, with its probability maps where wanted."""

    model: str
    source: Source
    findings: Path
    keep_probability: bool = False


@dataclass(frozen=True, slots=True)
class RunReply:
    """The findings are on disk."""

    model_digest: str
    device: str
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class EncodeTask:
    """Encode the findings of all runs of a job together, into ``folder``.

    ``requested``: kinds of result that the job's destinations take; those encoded on request only are made for these.
    ``predecessors``: superseded results whose place the new ones take.
    """

    source: Source
    findings: tuple[Path, ...]
    folder: Path
    protocol: str
    settings_digest: str
    generation: int
    timezone: str
    station_ae_title: str
    requested: tuple[str, ...] = ()
    predecessors: tuple[EncodedResult, ...] = ()


@dataclass(frozen=True, slots=True)
class RejectionTask:
    """Write a rejection note for results, into ``folder``. ``header``: a file that tells whose they are."""

    header: Path
    results: tuple[EncodedResult, ...]
    description: str
    folder: Path
    timezone: str
    station_ae_title: str


@dataclass(frozen=True, slots=True)
class NotPerformedTask:
    """Write a "not performed" report into ``folder``. ``paths``: images, oldest first; ``models`` would have run."""

    paths: tuple[Path, ...]
    refusal: Refusal
    detail: str
    protocol: str
    models: tuple[str, ...]
    generation: int
    folder: Path
    timezone: str
    station_ae_title: str


@dataclass(frozen=True, slots=True)
class EncodeReply:
    """The results are on disk, validated."""

    results: tuple[EncodedResult, ...]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded its models."""

    device: str
    models: dict[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong. ``refusal``: the images are at fault; else the model or the code is.

    Attributes
    ----------
    message : without values of the images' headers.
    stage : ``FINDINGS`` where the findings on disk are of no use.
    """

    message: str
    refusal: str = ""
    detail: str = ""
    stage: str = ""


FINDINGS = "findings"

Task = RunTask | EncodeTask | RejectionTask | NotPerformedTask
Reply = RunReply | EncodeReply | Ready | Failure

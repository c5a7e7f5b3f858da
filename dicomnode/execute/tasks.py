"""The messages between the supervisor and a worker process. Plain records: they cross a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

Task = RunTask | EncodeTask
Reply = RunReply | EncodeReply | Ready | Failure

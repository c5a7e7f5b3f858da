"""Jobs as operators see them, each with its runs and deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.orm import Session

from dicomnode.decision import Outcome, decision_of
from dicomnode.store.states import OutboxStatus, RunStatus
from dicomnode.store.tables import Base, Job, Outbox, Result, Run, Series


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One model of a job."""

    model: str
    status: str
    attempts: int
    crashes: int
    device: str
    digest: str
    started_at: float | None
    finished_at: float | None
    seconds: float | None
    error: str
    outcomes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One result on its way to one destination."""

    destination: str
    kind: str
    status: str
    attempts: int
    created_at: float
    next_attempt_at: float
    sent_at: float | None
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    size_bytes: int
    error: str
    proof: str
    proven_by: str
    proven_at: float | None
    losses: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One job as operators see it.

    Attributes
    ----------
    decision : the gravest of those of its findings that decide; empty before a model has spoken.
    result : what they come to in words, such as ``positive, 26.9 mL, 1 lesion``.
    outcomes : of each finding, the figures of the results.
    """

    job_id: int
    status: str
    priority: str
    protocol: str
    generation: int
    accession_number: str
    study_uid: str
    series_uid: str
    created_at: float
    ready_at: float
    finished_at: float | None
    attempts: int
    refusal: str
    error: str
    held: int = 0
    task: str = "analysis"
    decision: str = ""
    result: str = ""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    runs: list[RunLine] = field(default_factory=list)
    deliveries: list[DeliveryLine] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are asked for; empty: all."""

    status: str = ""
    protocol: str = ""
    accession_number: str = ""
    study_uid: str = ""
    job_id: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions of a query."""
        given = (
            (Job.status, self.status),
            (Job.protocol, self.protocol),
            (Job.accession_number, self.accession_number),
            (Job.study_uid, self.study_uid),
        )
        by_id = [] if self.job_id is None else [Job.id == self.job_id]
        return [*by_id, *[column == value for column, value in given if value]]


def _columns(table: type[Base], names: str) -> list[Any]:
    return [getattr(table, name) for name in names.split()]


# As rows: to make objects that follow their rows takes longer than to read them.
_JOBS = select(
    Job.id.label("job_id"),
    *_columns(Job, "status priority protocol generation accession_number study_uid created_at ready_at finished_at"),
    *_columns(Job, "attempts refusal error task"),
    Series.series_uid,
).join(Series, Job.series_id == Series.id)


_RUNS = select(
    Run.model_digest.label("digest"),
    *_columns(Run, "job_id model status attempts crashes device started_at finished_at error outcomes"),
).order_by(Run.position)


_DELIVERIES = select(
    *_columns(Outbox, "job_id destination status attempts created_at next_attempt_at sent_at error proof proven_by"),
    *_columns(Outbox, "proven_at losses identity"),
    *_columns(Result, "kind series_uid sop_class_uid sop_instance_uid size_bytes"),
).join(Result, Outbox.result_id == Result.id)


def list_jobs(session: Session, wanted: JobFilter | None = None, *, limit: int | None = 50) -> list[JobLine]:
    """The newest jobs first, each with its runs and deliveries. ``limit`` None: all."""
    statement = _JOBS.where(*(wanted or JobFilter()).conditions()).order_by(Job.id.desc()).limit(limit)
    lines = [JobLine(**row._mapping) for row in session.execute(statement)]
    by_id = {line.job_id: line for line in lines}
    for some in _portions(by_id):
        for row in session.execute(_RUNS.where(Run.job_id.in_(some))):
            by_id[row.job_id].runs.append(_run_line(row))
        for row in session.execute(_DELIVERIES.where(Outbox.job_id.in_(some)).order_by(Outbox.id)):
            by_id[row.job_id].deliveries.append(DeliveryLine(**_without_job(row)))
    return [_told(replace(line, held=_held(line))) for line in lines]


def show_job(session: Session, job_id: int) -> JobLine | None:
    """One job with its runs and deliveries; None when there is no such job."""
    return next(iter(list_jobs(session, JobFilter(job_id=job_id))), None)


def count_jobs(session: Session, wanted: JobFilter | None = None) -> int:
    """How many there are."""
    return session.scalar(select(func.count()).select_from(Job).where(*(wanted or JobFilter()).conditions())) or 0


def _run_line(row: Row[Any]) -> RunLine:
    ended = row.started_at is not None and row.finished_at is not None
    return RunLine(**_without_job(row), seconds=round(row.finished_at - row.started_at, 3) if ended else None)


def _without_job(row: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "job_id"}


def _told(line: JobLine) -> JobLine:
    """The job with what it came to; of several findings each has its name."""
    kept = [outcome for run in line.runs if run.status == RunStatus.SUCCEEDED for outcome in run.outcomes]
    if not kept:
        return line
    outcomes = [Outcome.from_dict(outcome) for outcome in kept]
    words = [outcome.in_words() for outcome in outcomes]
    named = [f"{outcome.finding}: {text}" for outcome, text in zip(outcomes, words, strict=True)]
    return replace(
        line,
        decision=str(decision_of(outcomes) or ""),
        result=words[0] if len(words) == 1 else "; ".join(named),
        outcomes=kept,
    )


def _portions(ids: Iterable[int]) -> Iterator[list[int]]:
    """Portions that fit one statement of every database."""
    rest = list(ids)
    for start in range(0, len(rest), 500):
        yield rest[start : start + 500]


def _held(line: JobLine) -> int:
    return sum(delivery.status == OutboxStatus.HELD for delivery in line.deliveries)

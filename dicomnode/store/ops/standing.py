"""How things stand now: what waits, since when, and what was sent last. Every statement has an index to go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicomnode.store.ops.times import ENDS
from dicomnode.store.states import JOB_OPEN, JobEvent, JobStatus, JobTask, OutboxStatus, RunEvent, RunStatus
from dicomnode.store.tables import Association, Event, Instance, Job, Outbox, Run, Series, Storage

LAST_ASSOCIATIONS = 2000
"""Associations that are looked through for the last of each sender."""
LAST_JOBS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Jobs in one open state and of one priority. ``oldest_at``: when the oldest became ready."""

    status: str
    priority: str
    count: int
    oldest_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """Deliveries to one destination in one state. ``oldest_at``: when the oldest was made, or sent."""

    destination: str
    status: str
    count: int
    oldest_at: float


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Seconds from the last image to proof in the PACS, of the newest jobs of a protocol."""

    jobs: int
    p50_s: float
    p95_s: float


def waiting_jobs(session: Session) -> list[Waiting]:
    """Open jobs by state and priority."""
    columns = (Job.status, Job.priority)
    statement = select(*columns, func.count(), func.min(Job.ready_at)).where(Job.status.in_(JOB_OPEN))
    return [
        Waiting(status=status, priority=priority, count=count, oldest_at=oldest_at)
        for status, priority, count, oldest_at in session.execute(statement.group_by(*columns).order_by(*columns))
    ]


def unsent(session: Session, destinations: Sequence[str]) -> list[Unsent]:
    """What is on its way to each destination: not sent, not proven, held, or given up."""
    states = (OutboxStatus.PENDING, OutboxStatus.SENDING, OutboxStatus.SENT, OutboxStatus.HELD, OutboxStatus.FAILED)
    columns = (Outbox.destination, Outbox.status)
    since = func.min(func.coalesce(Outbox.sent_at, Outbox.created_at))
    statement = select(*columns, func.count(), since)
    statement = statement.where(Outbox.destination.in_(destinations), Outbox.status.in_(states)).group_by(*columns)
    return [
        Unsent(destination=destination, status=status, count=count, oldest_at=oldest_at)
        for destination, status, count, oldest_at in session.execute(statement.order_by(*columns))
    ]


def last_associations(session: Session) -> Mapping[str, float]:
    """Sender -> when it was last heard of, among the newest associations."""
    newest = select(Association).order_by(Association.id.desc()).limit(LAST_ASSOCIATIONS).subquery()
    statement = select(newest.c.calling_ae, func.max(newest.c.last_seen_at)).where(newest.c.instances > 0)
    return {calling_ae: at for calling_ae, at in session.execute(statement.group_by(newest.c.calling_ae))}


def last_clock_step(session: Session) -> tuple[float, float] | None:
    """When the clock of a node was last seen to be set, and by how many seconds; None where it never was."""
    row = session.execute(select(Storage.stepped_at, Storage.stepped_by_s).order_by(Storage.id).limit(1)).first()
    return None if row is None or row[0] is None else (row[0], row[1])


def to_pacs(session: Session) -> dict[str, Quantiles]:
    """Protocol -> seconds from the last image to the PACS, over its jobs among the newest that are done.

    A job whose results came there more than once says nothing.
    """
    # Not the bare column: by its index all jobs that were ever done would be read, to be sorted by their ids.
    is_done = func.coalesce(Job.status, "").in_((JobStatus.DONE, JobStatus.SENT_UNPROVEN))
    newest = select(Job.id, Job.protocol, Series.last_instance_at).join(Series, Series.id == Job.series_id)
    newest = newest.where(Job.task == JobTask.ANALYSIS, is_done).order_by(Job.id.desc()).limit(LAST_JOBS)
    of = newest.subquery().c
    taken_s = func.min(Event.at) - of.last_instance_at
    ends = select(of.protocol, taken_s).join(Event, Event.job_id == of.id)
    ends = ends.where(Event.subject == "job", Event.name.in_(ENDS))
    once = ends.group_by(of.id, of.protocol, of.last_instance_at).having(func.count() == 1)
    seconds: dict[str, list[float]] = {}
    for protocol, took_s in session.execute(once):
        seconds.setdefault(protocol, []).append(max(0.0, took_s))
    return {name: Quantiles(len(all_s), _at(all_s, 0.5), _at(all_s, 0.95)) for name, all_s in sorted(seconds.items())}


def _at(seconds: Sequence[float], share: float) -> float:
    """Nearest-rank quantile."""
    ordered = sorted(seconds)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]


def last_image_at(session: Session) -> float | None:
    """When the last image of anybody came; None: never."""
    return session.scalar(select(func.max(Instance.received_at)))


def ended_badly(session: Session, *, since: float) -> dict[str, int]:
    """How many jobs ended without their results in the PACS, by what happened to them."""
    badly = (JobEvent.FAIL, JobEvent.QUARANTINE, JobEvent.UNDELIVERED)
    statement = select(Event.name, func.count()).where(Event.at >= since, Event.subject == "job", Event.name.in_(badly))
    return {_ENDED[name]: count for name, count in session.execute(statement.group_by(Event.name))}


_ENDED: dict[str, str] = {
    JobEvent.FAIL: "failed",
    JobEvent.QUARANTINE: "quarantined",
    JobEvent.UNDELIVERED: "not delivered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SucceededRun:
    """What a run gave, and of which job."""

    job_id: int
    model: str
    accession_number: str
    outcomes: list[dict[str, Any]]
    scores: list[dict[str, Any]]
    protocol: str


def succeeded_runs(session: Session, *, since: float) -> list[SucceededRun]:
    """Runs that succeeded since a moment."""
    events = select(Event.subject_id).where(Event.at >= since, Event.subject == "run", Event.name == RunEvent.SUCCEED)
    statement = select(Run.job_id, Run.model, Job.accession_number, Run.outcomes, Run.scores, Job.protocol)
    statement = statement.join(Job, Job.id == Run.job_id)
    rows = session.execute(statement.where(Run.id.in_(events), Run.status == RunStatus.SUCCEEDED).order_by(Run.id))
    return [SucceededRun(**row._mapping) for row in rows]


def study_of_job(session: Session, job_id: int) -> tuple[str, str]:
    """Study Instance UID and accession number of a job."""
    job = session.get_one(Job, job_id)
    return job.study_uid, job.accession_number

"""Rejection notes for delivered results (IHE RAD Image Object Change Management): one job per superseded job and
destination, so that a note goes through the same queue, outbox and proof as any result.

Which instances it names is read when it is written, not when it is planned: by then every C-STORE that was under way
has an outcome.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from dicomnode.kinds import Kind
from dicomnode.records import EncodedResult
from dicomnode.store.locks import lock_jobs
from dicomnode.store.states import JobEvent, JobStatus, JobTask, OutboxStatus
from dicomnode.store.tables import Job, Outbox, Result, Series
from dicomnode.store.transitions import move, note


def plan_rejections(session: Session, job: Job, *, reason: str, at_once: bool) -> None:
    """Plan a note for every destination that may have results of a job; a job has at most one per destination.

    Parameters
    ----------
    at_once : do not wait until the results that take their place are there: they must not be used at all.
    """
    if job.task == JobTask.REJECTION:
        return
    maybe_there = or_(Outbox.attempts > 0, Outbox.sent_at.is_not(None))
    statement = select(Outbox.destination).where(Outbox.job_id == job.id, maybe_there).distinct()
    for destination in session.scalars(statement.order_by(Outbox.destination)).all():
        about = {"job": job.id, "destination": destination, "reason": reason, "at_once": at_once}
        create_note(session, job, JobTask.REJECTION, key=f"rejection {job.id} {destination}", about=about)


def hasten_rejections(session: Session, series: Series) -> None:
    """Let the rejection notes about a series be written at once, without waiting for the results in their place."""
    mine = (Job.series_id == series.id, Job.task == JobTask.REJECTION, Job.status == JobStatus.WAITING)
    for job in lock_jobs(session, *mine):
        job.about = {**(job.about or {}), "at_once": True}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a note is about, where there is no job."""

    study_uid: str
    accession_number: str
    protocol: str
    series_id: int
    priority: str


def create_note(
    session: Session, of: Job | Subject, task: JobTask, *, key: str, about: dict[str, Any], ready: bool = False
) -> Job | None:
    """A job that writes a note; None where this occasion has one already.

    Parameters
    ----------
    of : gives study, series, protocol and priority.
    key : names the occasion; takes the place of the acquisition key.
    ready : it may be written now.
    """
    occasion = (Job.study_uid == of.study_uid, Job.acquisition_key == key, Job.protocol == of.protocol)
    before = session.execute(select(Job.status, Job.generation).where(*occasion)).all()
    if any(status != JobStatus.SUPERSEDED for status, _ in before):
        return None
    now = time.time()
    job = Job(
        study_uid=of.study_uid,
        accession_number=of.accession_number,
        acquisition_key=key,
        protocol=of.protocol,
        series_id=of.series_id,
        generation=1 + max((generation for _, generation in before), default=0),
        status=JobStatus.WAITING,
        priority=of.priority,
        created_at=now,
        ready_at=now,
        task=task,
        about=about,
    )
    session.add(job)
    session.flush()
    note(session, job, "created", after=job.status, detail={"task": task, **about})
    if ready:
        move(session, job, JobEvent.READY)
    return job


def stored() -> ColumnElement[bool]:
    """Condition on an outbox row: the destination has taken the result, as far as is known."""
    acknowledged = Outbox.status.in_((OutboxStatus.SENT, OutboxStatus.PROVEN))
    return or_(acknowledged, and_(Outbox.status == OutboxStatus.WITHDRAWN, Outbox.sent_at.is_not(None)))


def delivered_results(session: Session, job_id: int, destination: str) -> list[EncodedResult]:
    """The results of a job that a destination has, in the order in which they were sent."""
    statement = (
        select(Result)
        .join(Outbox, Outbox.result_id == Result.id)
        .where(Outbox.job_id == job_id, Outbox.destination == destination, stored())
        .order_by(Outbox.id)
    )
    return [encoded_result_of(row) for row in session.scalars(statement)]


def predecessors(session: Session, job_id: int) -> list[EncodedResult]:
    """The superseded results that those of a job take the place of: the newest that any destination has."""
    job = session.get_one(Job, job_id)
    earlier = select(func.max(Job.id)).where(
        Job.study_uid == job.study_uid,
        Job.acquisition_key == job.acquisition_key,
        Job.protocol == job.protocol,
        Job.task == job.task,
        Job.id < job.id,
        Job.status == JobStatus.SUPERSEDED,
        Job.id.in_(select(Outbox.job_id).where(stored())),
    )
    previous = session.scalar(earlier)
    has_it = Result.id.in_(select(Outbox.result_id).where(stored()))
    statement = select(Result).where(Result.job_id == previous, has_it).order_by(Result.id)
    return [encoded_result_of(row) for row in session.scalars(statement)] if previous is not None else []


def encoded_result_of(row: Result) -> EncodedResult:
    """The record of a stored result; ``path`` is relative to the data folder."""
    return EncodedResult(
        kind=Kind(row.kind),
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        series_instance_uid=row.series_uid,
        path=Path(row.path),
        sha256=row.digest,
        size_bytes=row.size_bytes,
        research=row.research,
    )

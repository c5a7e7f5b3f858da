"""The queue in the database: create, claim, heartbeat, finish. A claim carries a fencing token."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, case, exists, func, or_, select, update
from sqlalchemy.orm import Session

from dicomnode.errors import JobError, LeaseLost
from dicomnode.store.locks import lock_deliveries, lock_job, lock_jobs
from dicomnode.store.pausing import Part, paused
from dicomnode.store.queue.rejections import plan_rejections
from dicomnode.store.states import (
    JOB_INACTIVE,
    STAT,
    JobEvent,
    JobStatus,
    JobTask,
    OutboxEvent,
    OutboxStatus,
    RunEvent,
    RunStatus,
)
from dicomnode.store.tables import Event, FhirQuestion, Job, Outbox, Result, Run, Series
from dicomnode.store.transitions import guarded_update, move, note

STAT_HEAD_START_S = 900.0
"""A routine job that has been ready for so much longer than a stat one takes turns with it: none starves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A leased job. Whoever holds it passes ``token`` with every change."""

    job_id: int
    token: int
    series_id: int
    study_uid: str
    protocol: str
    generation: int
    attempts: int
    task: str = JobTask.ANALYSIS
    is_stat: bool = False


def active_job(session: Session, study_uid: str, acquisition_key: str, protocol: str) -> Job | None:
    """The one job of this acquisition and protocol that is neither superseded nor cancelled."""
    return session.scalars(
        select(Job).where(
            Job.study_uid == study_uid,
            Job.acquisition_key == acquisition_key,
            Job.protocol == protocol,
            Job.status.not_in(JOB_INACTIVE),
        )
    ).one_or_none()


def create_job(
    session: Session, series: Series, *, protocol: str, models: Sequence[str], priority: str, wait_s: float
) -> Job:
    """Queue a job for the chosen series; it becomes claimable after ``wait_s``."""
    now = time.time()
    job = Job(
        study_uid=series.study_uid,
        accession_number=series.accession_number,
        acquisition_key=series.acquisition_key,
        protocol=protocol,
        series_id=series.id,
        generation=_next_generation(session, series, protocol),
        status=JobStatus.WAITING,
        priority=priority,
        created_at=now,
        ready_at=now + wait_s,
    )
    session.add(job)
    session.flush()
    for position, model in enumerate(models):
        session.add(Run(job_id=job.id, model=model, position=position, status=RunStatus.PENDING))
    note(session, job, "created", after=job.status, detail={"protocol": protocol, "series_uid": series.series_uid})
    if wait_s <= 0:
        move(session, job, JobEvent.READY)
    return job


def _next_generation(session: Session, series: Series, protocol: str) -> int:
    statement = select(func.max(Job.generation)).where(
        Job.study_uid == series.study_uid, Job.acquisition_key == series.acquisition_key, Job.protocol == protocol
    )
    return (session.scalar(statement) or 0) + 1


def supersede_jobs_of_series(session: Session, series: Series, *, reason: str, at_once: bool = False) -> None:
    """Supersede the active analyses of a series; ``at_once``, as for :func:`supersede_job`, the cancelled ones too.

    Some results of a cancelled one may have been sent before.
    """
    over = (JobStatus.SUPERSEDED,) if at_once else JOB_INACTIVE
    mine = (Job.series_id == series.id, Job.task == JobTask.ANALYSIS, Job.status.not_in(over))
    for job in lock_jobs(session, *mine):
        supersede_job(session, job, reason=reason, at_once=at_once)


def supersede_job(session: Session, job: Job, *, reason: str, at_once: bool = False) -> None:
    """Supersede a job: results that were not sent yet are withdrawn, those that were sent get a rejection note.

    Parameters
    ----------
    at_once : the rejection notes do not wait for the results that take their place.
    """
    # It may have been read without a lock, and a worker or a sender may have moved it on since.
    lock_job(session, job.id)
    move(session, job, JobEvent.SUPERSEDE, detail={"reason": reason}, lease_until=None, finished_at=time.time())
    interrupt_runs(session, job)
    withdraw_results(session, job)
    plan_rejections(session, job, reason=reason, at_once=at_once)


def withdraw_results(session: Session, job: Job) -> None:
    """Mark the job's results superseded and take them out of the outbox."""
    session.execute(update(Result).where(Result.job_id == job.id).values(superseded=True))
    unsent = (
        OutboxStatus.PENDING,
        OutboxStatus.SENDING,
        OutboxStatus.FAILED,
        OutboxStatus.WITHHELD,
        OutboxStatus.HELD,
    )
    # Locked, since a sender may be about to record one of them as sent: whoever comes second sees what the first did.
    for row in lock_deliveries(session, Outbox.job_id == job.id, Outbox.status.in_(unsent)):
        # The lease of one that is on its way stays: until it is over, nobody knows whether the destination has it.
        lease_until = row.lease_until if row.status == OutboxStatus.SENDING else None
        move(session, row, OutboxEvent.WITHDRAW, lease_until=lease_until, next_attempt_at=time.time())


def release_waiting(session: Session, now: float) -> int:
    """Make the jobs claimable whose wait for a better reconstruction is over; returns how many."""
    waiting = (Job.status == JobStatus.WAITING, Job.task == JobTask.ANALYSIS, Job.ready_at <= now)
    due = session.scalars(select(Job).where(*waiting).with_for_update(skip_locked=True)).all()
    for job in due:
        move(session, job, JobEvent.READY)
    return len(due)


def claim_job(
    session: Session, *, owner: str, lease_s: float, answer_wait_s: float = 0.0, after_stat: bool = False
) -> Claim | None:
    """Lease the most urgent claimable job, or None when there is none, or the queue is paused.

    Parameters
    ----------
    answer_wait_s : an analysis is left this long for what a FHIR server was asked about its patient.
    after_stat : the last one was stat, so that a routine one has its turn which has waited for too long.
    """
    now = time.time()
    statement = _claimable(now, answer_wait_s).order_by(*_urgency(after_stat), Job.id)
    job = session.scalars(statement.limit(1).with_for_update(skip_locked=True)).one_or_none()
    if job is None:
        return None
    move(
        session,
        job,
        JobEvent.CLAIM,
        detail={"owner": owner},
        lease_owner=owner,
        lease_token=job.lease_token + 1,
        lease_until=now + lease_s,
        attempts=job.attempts + 1,
    )
    return Claim(
        job_id=job.id,
        token=job.lease_token,
        series_id=job.series_id,
        study_uid=job.study_uid,
        protocol=job.protocol,
        generation=job.generation,
        attempts=job.attempts,
        task=job.task,
        is_stat=job.priority == STAT,
    )


def _claimable(now: float, answer_wait_s: float) -> Select[Job]:
    statement = select(Job).where(Job.status == JobStatus.QUEUED, Job.ready_at <= now, ~paused(Part.QUEUE))
    if answer_wait_s > 0:
        settled = exists().where(FhirQuestion.study_uid == Job.study_uid, FhirQuestion.settled_at.is_not(None))
        has_waited = Job.ready_at <= now - answer_wait_s
        statement = statement.where(or_(Job.task != JobTask.ANALYSIS, has_waited, settled))
    return statement


def _urgency(after_stat: bool) -> tuple[ColumnElement[float], ...]:
    """What claimable jobs are ordered by."""
    if after_stat:
        return (Job.ready_at - case((Job.priority == STAT, STAT_HEAD_START_S), else_=0.0),)
    return case((Job.priority == STAT, 0.0), else_=1.0), Job.ready_at.expression


def is_stat_waiting(session: Session, *, answer_wait_s: float = 0.0) -> bool:
    """Whether :func:`claim_job` would find a stat job now."""
    waiting = _claimable(time.time(), answer_wait_s).where(Job.priority == STAT).limit(1)
    return session.scalars(waiting).one_or_none() is not None


def give_way(session: Session, claim: Claim) -> None:
    """Queue a job again, in the place that it had, since a stat one waits; that costs it no attempt.

    What has succeeded of its runs stays.

    Raises
    ------
    LeaseLost : another worker owns the job now.
    """
    job = leased_job(session, claim)
    move(session, job, JobEvent.GIVE_WAY, token=claim.token, attempts=max(job.attempts - 1, 0), lease_until=None)


def leased_job(session: Session, claim: Claim) -> Job:
    """The job behind a claim, for a guarded change by :func:`move` with ``token=claim.token``."""
    return lock_job(session, claim.job_id)


def heartbeat(session: Session, claim: Claim, *, lease_s: float) -> None:
    """Extend the lease.

    Raises
    ------
    LeaseLost : the job was superseded, cancelled or taken over; stop working on it.
    """
    job = leased_job(session, claim)
    guarded_update(session, job, before=JobStatus.RUNNING, token=claim.token, lease_until=time.time() + lease_s)


def require_lease(session: Session, claim: Claim) -> None:
    """Look whether a job is still held, without writing.

    Raises
    ------
    LeaseLost : the job was superseded, cancelled or taken over; stop working on it.
    """
    held = (Job.id == claim.job_id, Job.status == JobStatus.RUNNING, Job.lease_token == claim.token)
    if session.scalar(select(Job.id).where(*held)) is None:
        raise LeaseLost(f"job {claim.job_id} is no longer held by claim {claim.token}")


def recover_leases(session: Session, now: float, *, owner: str | None = None) -> int:
    """Queue again the jobs whose lease ran out, or, at start, all that ``owner`` held when it died; returns how many.

    The death of a node is nobody's fault: it counts neither as a crash of the run nor towards quarantine.
    """
    expired = Job.lease_until < now if owner is None else Job.lease_owner == owner
    statement = select(Job).where(Job.status == JobStatus.RUNNING, expired).with_for_update(skip_locked=True)
    jobs = session.scalars(statement).all()
    for job in jobs:
        interrupt_runs(session, job)
        move(session, job, JobEvent.LEASE_EXPIRED, lease_until=None, ready_at=now, attempts=max(job.attempts - 1, 0))
    return len(jobs)


def postpone_job(session: Session, claim: Claim, *, reason: str, fault: str, retry_at: float) -> None:
    """Queue a job again that the environment kept from being done: that costs it no attempt.

    Parameters
    ----------
    reason : without values of the images' headers.
    fault : which kind, as :func:`count_postponed_in_a_row` counts them.

    Raises
    ------
    LeaseLost : another worker owns the job now.
    """
    job = leased_job(session, claim)
    if job.lease_token != claim.token:
        raise LeaseLost(f"job {job.id} is no longer held by claim {claim.token}")
    attempts, detail = max(job.attempts - 1, 0), {"reason": reason, "fault": fault}
    changes = {"attempts": attempts, "lease_until": None, "ready_at": retry_at, "error": reason}
    move(session, job, JobEvent.POSTPONE, token=claim.token, detail=detail, **changes)
    interrupt_runs(session, job)


def count_postponed(session: Session, job_id: int, *, since: float) -> int:
    """How often a job was postponed since a moment."""
    mine = (Event.job_id == job_id, Event.name == JobEvent.POSTPONE, Event.at >= since)
    return session.scalar(select(func.count()).select_from(Event).where(*mine)) or 0


def count_postponed_in_a_row(session: Session, job_id: int, *, fault: str) -> int:
    """How often a job was postponed for the same kind of fault, since anything else came of it."""
    outcomes = (JobEvent.POSTPONE, JobEvent.REQUEUE, JobEvent.RETRY, JobEvent.ENCODED)
    mine = select(Event).where(Event.job_id == job_id, Event.subject == "job", Event.name.in_(outcomes))
    newest_first = session.scalars(mine.order_by(Event.id.desc()))
    same = itertools.takewhile(lambda event: event.detail.get("fault") == fault, newest_first)
    return sum(1 for _ in same)


def interrupt_runs(session: Session, job: Job) -> None:
    """Put the job's running runs back to pending."""
    for run in session.scalars(select(Run).where(Run.job_id == job.id, Run.status == RunStatus.RUNNING)):
        move(session, run, RunEvent.INTERRUPT)


def runs_of(session: Session, job_id: int) -> Sequence[Run]:
    """The job's runs in dependency order."""
    return session.scalars(select(Run).where(Run.job_id == job_id).order_by(Run.position)).all()


def requeue_job(session: Session, job_id: int) -> str:
    """Repeat a job for an operator: run what failed, or send what was not delivered; returns the new status.

    Raises
    ------
    JobError : there is no such job, or a newer one has taken its place.
    IllegalTransition : the job is in a state that has nothing to repeat.
    """
    job = _job(session, job_id)
    if job.status in (JobStatus.UNDELIVERED, JobStatus.SENT_UNPROVEN, JobStatus.DONE):
        move(session, job, JobEvent.REDELIVER, finished_at=None)
        for row in session.scalars(select(Outbox).where(Outbox.job_id == job.id, Outbox.status == OutboxStatus.FAILED)):
            now = time.time()
            # As if new: the age decides when it is given up, the attempts how long the next pause is.
            move(session, row, OutboxEvent.REQUEUE, next_attempt_at=now, created_at=now, attempts=0)
        return job.status
    rival = active_job(session, job.study_uid, job.acquisition_key, job.protocol)
    if rival is not None and rival.id != job.id:
        raise JobError(f"job {rival.id} has taken the place of job {job_id}")
    move(session, job, JobEvent.REQUEUE, attempts=0, ready_at=time.time(), finished_at=None, refusal="", error="")
    session.execute(update(Run).where(Run.job_id == job.id).values(crashes=0))
    return job.status


def cancel_job(session: Session, job_id: int) -> str:
    """Cancel a job for an operator: what is not sent yet is withdrawn; returns the new status.

    Raises
    ------
    JobError : there is no such job.
    IllegalTransition : the job is over already.
    """
    job = _job(session, job_id)
    move(session, job, JobEvent.CANCEL, lease_until=None, finished_at=time.time())
    interrupt_runs(session, job)
    withdraw_results(session, job)
    return job.status


def _job(session: Session, job_id: int) -> Job:
    found = lock_jobs(session, Job.id == job_id)
    if not found:
        raise JobError(f"there is no job {job_id}")
    return found[0]

"""Notes (rejections of delivered results, reports that nothing was done): when one may be written, what it says.

A note for superseded results is released once those that take their place are stored at the same destination, or will
never be: nobody is left without a result for longer than need be, and no outdated one is left standing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from dicomnode.records import EncodedResult
from dicomnode.store.deliver.proofs import SENT, Sent, read_sent
from dicomnode.store.deliver.results import underway
from dicomnode.store.locks import lock_delivery
from dicomnode.store.queue.jobs import Claim, leased_job
from dicomnode.store.queue.rejections import delivered_results
from dicomnode.store.states import InstanceStatus, JobEvent, JobStatus, JobTask, OutboxStatus, SeriesStatus
from dicomnode.store.tables import Instance, Job, Outbox, Series
from dicomnode.store.transitions import guarded_update, move, note


@dataclass(frozen=True, slots=True)
class RejectionBrief:
    """What a rejection note is to say. ``results``: those that the destination has."""

    destination: str
    results: tuple[EncodedResult, ...]
    source_rejected: bool


def release_notes(session: Session, now: float) -> int:
    """Make the rejection notes claimable whose time has come; returns how many."""
    statement = select(Job).where(Job.status == JobStatus.WAITING, Job.task == JobTask.REJECTION, Job.ready_at <= now)
    released = 0
    for job in session.scalars(statement.order_by(Job.id).with_for_update(skip_locked=True)).all():
        about = job.about or {}
        if not about["at_once"] and _successor_underway(session, about["job"], about["destination"]):
            continue
        if session.scalar(select(exists().where(_of(about), _in_doubt(now)))):
            continue
        if delivered_results(session, about["job"], about["destination"]):
            move(session, job, JobEvent.READY)
            released += 1
        else:
            reason = {"reason": "the destination has none of the results"}
            move(session, job, JobEvent.CANCEL, detail=reason, finished_at=now)
    return released


def _successor_underway(session: Session, job_id: int, destination: str) -> bool:
    """Whether results may still come that take the place of a superseded job's."""
    old = session.get_one(Job, job_id)
    is_analysis = old.task == JobTask.ANALYSIS
    if is_analysis and session.get_one(Series, old.series_id).status == SeriesStatus.RECEIVING:
        return True
    newer = select(Job).where(
        Job.study_uid == old.study_uid,
        Job.protocol == old.protocol,
        Job.task == JobTask.ANALYSIS,
        Job.status.in_((JobStatus.WAITING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.DELIVERING)),
    )
    if is_analysis:
        newer = newer.where(
            Job.id > old.id, or_(Job.acquisition_key == old.acquisition_key, Job.series_id == old.series_id)
        )
    return any(
        job.status != JobStatus.DELIVERING or _is_underway(session, job.id, destination)
        for job in session.scalars(newer).all()
    )


def _is_underway(session: Session, job_id: int, destination: str) -> bool:
    mine = (Outbox.job_id == job_id, Outbox.destination == destination)
    return bool(session.scalar(select(exists().where(*mine, underway()))))


def _of(about: dict[str, object]) -> ColumnElement[bool]:
    return and_(Outbox.job_id == about["job"], Outbox.destination == about["destination"])


def _in_doubt(now: float) -> ColumnElement[bool]:
    """Condition on an outbox row: it was tried, withdrawn, and whether the destination has it is not known.

    Its C-STORE may be under way, its answer may have been lost, or the destination may have lost it after Success.
    Where a destination proves nothing, an answer that was lost stays lost.
    """
    unanswered = and_(Outbox.attempts > 0, Outbox.sent_at.is_(None))
    may_be_there = or_(unanswered, and_(Outbox.losses > 0, Outbox.proven_at.is_(None)))
    can_be_known = or_(Outbox.proof != "status", Outbox.lease_until > now)
    return and_(Outbox.status == OutboxStatus.WITHDRAWN, may_be_there, can_be_known)


def doubtful_deliveries(session: Session, destination: str) -> list[Sent]:
    """What a destination is to be asked for now, because a rejection note waits for the answer."""
    now = time.time()
    waiting = select(Job).where(Job.status == JobStatus.WAITING, Job.task == JobTask.REJECTION)
    abouts = [job.about or {} for job in session.scalars(waiting)]
    job_ids = [about["job"] for about in abouts if about["destination"] == destination]
    if not job_ids:
        return []
    over = or_(Outbox.lease_until.is_(None), Outbox.lease_until <= now)
    statement = (
        SENT.where(Outbox.job_id.in_(job_ids), Outbox.destination == destination, _in_doubt(now), over)
        .where(Outbox.proof != "status", Outbox.next_attempt_at <= now)
        .order_by(Outbox.id)
    )
    return read_sent(session, statement)


def settle_doubt(session: Session, delivery: Sent, *, found: bool) -> None:
    """Record whether a destination that was asked for a withdrawn result has it."""
    row = lock_delivery(session, delivery.outbox_id)
    if row.status != OutboxStatus.WITHDRAWN:
        return
    now = time.time()
    known = {"sent_at": row.sent_at or now, "proven_at": now} if found else {"sent_at": None, "proven_at": None}
    guarded_update(session, row, before=row.status, token=None, attempts=0, losses=0, lease_until=None, **known)
    note(session, row, "found" if found else "not_found", detail={"destination": row.destination})


def postpone_doubt(session: Session, delivery: Sent, *, until: float) -> None:
    """Ask a destination that did not answer again later."""
    row = session.get_one(Outbox, delivery.outbox_id)
    guarded_update(session, row, before=OutboxStatus.WITHDRAWN, token=None, next_attempt_at=until)


def about_of(session: Session, claim: Claim) -> dict[str, object]:
    """What a claimed note is about."""
    return dict(session.get_one(Job, claim.job_id).about or {})


def image_files(session: Session, series_id: int) -> list[str]:
    """Spool paths of all that came of a series and is still kept, oldest first."""
    statement = select(Instance.path).where(Instance.series_id == series_id, Instance.status != InstanceStatus.PURGED)
    return list(session.scalars(statement.order_by(Instance.received_at, Instance.id)))


def rejection_of(session: Session, claim: Claim) -> RejectionBrief:
    """What a claimed rejection note is to say."""
    about = session.get_one(Job, claim.job_id).about or {}
    results = delivered_results(session, about["job"], about["destination"])
    return RejectionBrief(about["destination"], tuple(results), bool(about["at_once"]))


def drop_note(session: Session, claim: Claim, *, reason: str) -> None:
    """Drop a claimed note that is not wanted.

    Raises
    ------
    LeaseLost : another worker owns it now.
    """
    job = leased_job(session, claim)
    detail = {"reason": reason}
    move(session, job, JobEvent.CANCEL, token=claim.token, detail=detail, lease_until=None, finished_at=time.time())


def header_files(session: Session, claim: Claim) -> list[str]:
    """Spool paths that tell whose study it is, the best first: the series' own images, then what else came of it."""
    statement = select(Instance).where(
        Instance.study_uid == claim.study_uid,
        Instance.status != InstanceStatus.PURGED,
        Instance.reason.not_in(("own_result", "unreadable")),
    )
    rows = session.scalars(statement.order_by(Instance.received_at.desc(), Instance.id.desc())).all()
    return [row.path for row in sorted(rows, key=lambda row: row.series_id != claim.series_id)]

"""The outbox in the database: claim what is due for a destination, record each outcome."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import case, exists, func, select, update
from sqlalchemy.orm import Session

from dicomnode.errors import LeaseLost
from dicomnode.kinds import Kind
from dicomnode.store.deliver.results import settle_deliveries, underway
from dicomnode.store.locks import lock_deliveries, lock_delivery, lock_job, lock_job_and_delivery
from dicomnode.store.pausing import Part, paused
from dicomnode.store.states import STAT, JobStatus, OutboxEvent, OutboxStatus
from dicomnode.store.tables import Job, Outbox, Result
from dicomnode.store.transitions import guarded_update, move, note


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One leased delivery: a result file for one destination. ``path`` is relative to the data folder."""

    outbox_id: int
    token: int
    job_id: int
    kind: Kind
    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    path: str
    digest: str
    attempts: int
    created_at: float
    identity_by: str = ""
    unanswered: int = 0
    is_stat: bool = False


def has_due_parcels(session: Session, destination: str, *, stat_only: bool = False) -> bool:
    """Whether :func:`claim_parcels` would find anything; reads only, so that polling takes no lock."""
    due = (
        Outbox.destination == destination,
        Outbox.status == OutboxStatus.PENDING,
        Outbox.next_attempt_at <= time.time(),
        ~paused(Part.DESTINATION, destination),
    )
    statement = select(Outbox.id).where(*due).limit(1)
    if stat_only:
        statement = statement.join(Job, Job.id == Outbox.job_id).where(Job.priority == STAT)
    return session.scalar(statement) is not None


def has_fresh_parcels(session: Session, destinations: Iterable[str]) -> bool:
    """Whether something is being sent to some destinations, or waits there without ever having been tried.

    What a destination did not take is not fresh, nor is what waits for one that is paused.
    """
    fresh = (Outbox.status == OutboxStatus.PENDING) & (Outbox.attempts == 0)
    waits = (fresh | (Outbox.status == OutboxStatus.SENDING)) & Outbox.destination.in_(list(destinations))
    statement = select(Outbox.id).where(waits, ~paused(Part.DESTINATION, Outbox.destination))
    return session.scalar(statement.limit(1)) is not None


def claim_parcels(session: Session, destination: str, *, owner: str, lease_s: float, limit: int = 50) -> list[Parcel]:
    """Lease what is due for a destination, oldest job first, to go over one connection: stat alone, or else routine."""
    now = time.time()
    statement = (
        select(Outbox, Result, Job.priority)
        .join(Result, Result.id == Outbox.result_id)
        .join(Job, Job.id == Outbox.job_id)
        .where(
            Outbox.destination == destination,
            Outbox.status == OutboxStatus.PENDING,
            Outbox.next_attempt_at <= now,
            ~paused(Part.DESTINATION, destination),
        )
        .order_by(case((Job.priority == STAT, 0), else_=1), Outbox.job_id, Outbox.id)
        .limit(limit)
    )
    rows = session.execute(statement.with_for_update(of=Outbox, skip_locked=True)).all()
    # What is stat is proven, too, before routine ones are sent.
    is_stat = any(priority == STAT for _, _, priority in rows)
    chosen = [(row, result) for row, result, priority in rows if (priority == STAT) == is_stat]
    claimed = [_claim(session, *both, owner=owner, lease_until=now + lease_s) for both in chosen]
    return [replace(parcel, is_stat=is_stat) for parcel in claimed]


def _claim(session: Session, row: Outbox, result: Result, *, owner: str, lease_until: float) -> Parcel:
    move(
        session,
        row,
        OutboxEvent.CLAIM,
        lease_owner=owner,
        lease_token=row.lease_token + 1,
        lease_until=lease_until,
        attempts=row.attempts + 1,
    )
    return parcel_of(row, result)


def parcel_of(row: Outbox, result: Result) -> Parcel:
    """What sending needs to know of a delivery."""
    return Parcel(
        outbox_id=row.id,
        token=row.lease_token,
        job_id=row.job_id,
        kind=Kind(result.kind),
        study_uid=result.study_uid,
        series_uid=result.series_uid,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        path=result.path,
        digest=result.digest,
        attempts=row.attempts,
        created_at=row.created_at,
        identity_by=row.identity_by,
        unanswered=row.unanswered,
    )


def extend_lease(session: Session, parcel: Parcel, *, lease_s: float) -> None:
    """Keep the lease of a parcel that waits for its turn on the association.

    Raises
    ------
    LeaseLost : the result was withdrawn or taken over; do not send it.
    """
    row = lock_delivery(session, parcel.outbox_id)
    guarded_update(session, row, before=OutboxStatus.SENDING, token=parcel.token, lease_until=time.time() + lease_s)


def try_extend_lease(session: Session, parcel: Parcel, *, lease_s: float) -> bool:
    """Extend a lease as :func:`extend_lease` does; False where that would raise LeaseLost."""
    try:
        extend_lease(session, parcel, lease_s=lease_s)
    except LeaseLost:
        _let_go(session, parcel)
        return False
    return True


def extend_leases(session: Session, outbox_ids: Sequence[int], *, owner: str, lease_s: float) -> None:
    """Extend the leases that ``owner`` still holds on these deliveries.

    Those that were withdrawn on their way are among them: until the answer is there nobody knows whether the
    destination has them. Who changes one at this moment is not waited for: the next call is soon.
    """
    held = (Outbox.id.in_(outbox_ids), Outbox.lease_owner == owner, Outbox.lease_until.is_not(None))
    statement = select(Outbox).where(*held, Outbox.status.in_((OutboxStatus.SENDING, OutboxStatus.WITHDRAWN)))
    for row in session.scalars(statement.order_by(Outbox.id).with_for_update(skip_locked=True)):
        row.lease_until = time.time() + lease_s


def give_back(session: Session, parcel: Parcel) -> None:
    """Let a leased parcel wait again with which nothing was tried: that costs it no attempt."""
    row = lock_delivery(session, parcel.outbox_id)
    try:
        move(session, row, OutboxEvent.GIVE_BACK, token=parcel.token, attempts=row.attempts - 1, lease_until=None)
    except LeaseLost:
        _let_go(session, parcel)


def _let_go(session: Session, parcel: Parcel) -> None:
    """Give up the lease of a parcel that was withdrawn before its turn: nobody has to wait for its outcome."""
    row = lock_delivery(session, parcel.outbox_id)
    if row.status == OutboxStatus.WITHDRAWN and row.lease_token == parcel.token:
        guarded_update(session, row, before=row.status, token=parcel.token, lease_until=None)


def record_sent(session: Session, parcel: Parcel, *, status: int, found: bool = False) -> None:
    """Record that a destination answered Success or a warning; where it proves nothing, the job may end here.

    ``found``: it did not answer in time, and showed that it has it when it was asked.

    Raises
    ------
    LeaseLost : the result was withdrawn or taken over in the meantime.
    """
    job, row = lock_job_and_delivery(session, parcel.job_id, parcel.outbox_id)
    move(
        session,
        row,
        OutboxEvent.SENT,
        token=parcel.token,
        detail={"status": f"0x{status:04X}", "attempt": parcel.attempts, **({"found": True} if found else {})},
        sent_at=time.time(),
        next_attempt_at=time.time(),
        proof_attempts=0,
        commitment_requests=0,
        unanswered=0,
        last_status=status,
        lease_until=None,
        error="",
    )
    settle_deliveries(session, job)


def record_failure(
    session: Session,
    parcel: Parcel,
    *,
    error: str,
    status: int | None,
    failed_at: float,
    retry_at: float | None,
    unanswered: bool = False,
) -> None:
    """Record that a destination did not take a result: try again at ``retry_at``, or give up when that is None.

    Parameters
    ----------
    unanswered : it was sent and no answer came; what else fails later does not take that doubt away.
    failed_at : when the attempt failed, from the same reading of the clock as ``retry_at``; seconds since the epoch.

    Raises
    ------
    LeaseLost : the result was withdrawn or taken over in the meantime.
    """
    job, row = lock_job_and_delivery(session, parcel.job_id, parcel.outbox_id)
    move(
        session,
        row,
        OutboxEvent.GIVE_UP if retry_at is None else OutboxEvent.RETRY,
        token=parcel.token,
        detail={
            "error": error,
            "status": None if status is None else f"0x{status:04X}",
            "failed_at": failed_at,
            "retry_at": retry_at,
        },
        next_attempt_at=failed_at if retry_at is None else retry_at,
        last_status=status,
        unanswered=parcel.unanswered + unanswered,
        lease_until=None,
        error=error,
    )
    settle_deliveries(session, job)


def note_sent_unrecorded(session: Session, parcel: Parcel, *, status: int) -> None:
    """Note that a destination took a result which was withdrawn, or taken over, on its way: ``why`` shows it."""
    row = lock_delivery(session, parcel.outbox_id)
    if row.status == OutboxStatus.WITHDRAWN:
        guarded_update(session, row, before=row.status, token=parcel.token, sent_at=time.time(), lease_until=None)
    note(session, row, "sent_unrecorded", detail={"status": f"0x{status:04X}", "attempt": parcel.attempts})


def wake_parcels(session: Session, destination: str) -> int:
    """Make due at once what waits because it could not be reached; returns how many.

    What it refused with a status keeps its own time.
    """
    now = time.time()
    statement = update(Outbox).where(
        Outbox.destination == destination,
        Outbox.status == OutboxStatus.PENDING,
        Outbox.next_attempt_at > now,
        Outbox.last_status.is_(None),
    )
    return int(session.execute(statement.values(next_attempt_at=now)).rowcount)  # type: ignore[attr-defined]


def withhold_research(session: Session, destination: str) -> int:
    """Withhold the research results that still wait for a destination that no longer accepts them; returns how many."""
    statement = (
        select(Outbox)
        .join(Result, Result.id == Outbox.result_id)
        .where(
            Outbox.destination == destination,
            Outbox.status.in_((OutboxStatus.PENDING, OutboxStatus.HELD)),
            Result.research,
            Result.kind != Kind.REJECTION,
        )
        .with_for_update(of=Outbox, skip_locked=True)
    )
    rows = session.scalars(statement).all()
    for row in rows:
        reason = {"reason": "the destination does not accept research results"}
        move(session, row, OutboxEvent.WITHHOLD, detail=reason)
    return len(rows)


def recover_parcels(session: Session, now: float, *, owner: str | None = None) -> int:
    """Make pending again what was being sent when its sender died; returns how many."""
    expired = Outbox.lease_until < now if owner is None else Outbox.lease_owner == owner
    statement = select(Outbox).where(Outbox.status == OutboxStatus.SENDING, expired)
    rows = session.scalars(statement.with_for_update(skip_locked=True)).all()
    for row in rows:
        move(session, row, OutboxEvent.LEASE_EXPIRED, lease_until=None, next_attempt_at=now)
    return len(rows)


def settle_stranded_jobs(session: Session) -> int:
    """Finish delivering jobs that have nothing left to send (no destination takes any of their kinds, say)."""
    unfinished = exists().where(Outbox.job_id == Job.id, underway())
    jobs = session.scalars(select(Job.id).where(Job.status == JobStatus.DELIVERING, ~unfinished)).all()
    for job_id in jobs:
        settle_deliveries(session, lock_job(session, job_id))
    return len(jobs)


def count_waiting(session: Session, destination: str) -> int:
    """How many results wait to be sent to a destination, or are being sent."""
    waiting = Outbox.status.in_((OutboxStatus.PENDING, OutboxStatus.SENDING))
    statement = select(func.count()).select_from(Outbox).where(Outbox.destination == destination, waiting)
    return session.scalar(statement) or 0


def orphaned(session: Session, destinations: Iterable[str]) -> dict[str, int]:
    """What waits for destinations that are not among these, by destination: nobody will ever send or prove it."""
    statement = (
        select(Outbox.destination, func.count())
        .join(Job, Job.id == Outbox.job_id)
        .where(underway(), Job.status == JobStatus.DELIVERING, Outbox.destination.not_in(list(destinations)))
        .group_by(Outbox.destination)
        .order_by(Outbox.destination)
    )
    return {name: count for name, count in session.execute(statement)}


def forget_destination(session: Session, destination: str) -> int:
    """Withdraw what waits for a destination that is gone, and finish the jobs that waited; returns how many results.

    What was sent there stays sent, without a proof.
    """
    waiting = select(Outbox.job_id).where(Outbox.destination == destination, underway()).distinct()
    jobs = session.scalars(select(Job).where(Job.id.in_(waiting), Job.status == JobStatus.DELIVERING).order_by(Job.id))
    count = 0
    for job in jobs.all():
        lock_job(session, job.id)
        for row in lock_deliveries(session, Outbox.job_id == job.id, Outbox.destination == destination, underway()):
            _forget(session, row)
            count += 1
        settle_deliveries(session, job)
    return count


def _forget(session: Session, row: Outbox) -> None:
    if row.status == OutboxStatus.SENT:
        guarded_update(session, row, before=OutboxStatus.SENT, token=None, proof="status")
        note(session, row, "proof_waived", detail={"reason": "the destination is gone"})
    else:
        move(session, row, OutboxEvent.WITHDRAW, lease_until=None, detail={"reason": "the destination is gone"})

"""Proof of delivery in the database: what was sent and is still to be proven, and what each look at it found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select, update
from sqlalchemy.orm import Session

from dicomnode.store.deliver.holding import in_conflict
from dicomnode.store.deliver.results import settle_deliveries
from dicomnode.store.locks import lock_job_and_delivery
from dicomnode.store.states import STAT, JobStatus, OutboxEvent, OutboxStatus
from dicomnode.store.tables import Job, Outbox, Result
from dicomnode.store.transitions import guarded_update, move


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One result that a destination acknowledged and that is still to be proven.

    Attributes
    ----------
    attempts : looks at it since it was sent that proved nothing.
    requests : how often commitment to it was asked for since it was sent, and accepted.
    losses : how often it was missing before and was sent again.
    status : with what DIMSE status it was acknowledged.
    """

    outbox_id: int
    job_id: int
    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    sent_at: float
    created_at: float
    attempts: int
    requests: int
    losses: int
    status: int | None
    is_stat: bool = False


SENT = select(
    Outbox.id.label("outbox_id"),
    Outbox.job_id,
    Result.study_uid,
    Result.series_uid,
    Result.sop_class_uid,
    Result.sop_instance_uid,
    func.coalesce(Outbox.sent_at, Outbox.created_at).label("sent_at"),
    Outbox.created_at,
    Outbox.proof_attempts.label("attempts"),
    Outbox.commitment_requests.label("requests"),
    Outbox.losses,
    Outbox.last_status.label("status"),
).join(Result, Result.id == Outbox.result_id)
"""Deliveries as :class:`Sent`, to be read by :func:`read_sent`: to make objects that follow their rows takes longer."""


def _due(destination: str, proof: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Outbox.destination == destination,
        Outbox.status == OutboxStatus.SENT,
        Outbox.proof == proof,
        Outbox.next_attempt_at <= time.time(),
        Job.status == JobStatus.DELIVERING,
    )


def unproven(session: Session, destination: str, proof: str, *, limit: int = 200) -> list[Sent]:
    """What was sent to a destination and is to be proven now, stat before routine, then oldest job first.

    Takes no lock.
    """
    statement = (
        SENT.add_columns((Job.priority == STAT).label("is_stat"))
        .join(Job, Job.id == Outbox.job_id)
        .where(*_due(destination, proof))
        .order_by(case((Job.priority == STAT, 0), else_=1), Outbox.job_id, Outbox.id)
        .limit(limit)
    )
    return read_sent(session, statement)


def read_sent(session: Session, wanted: Select[*tuple[Any, ...]]) -> list[Sent]:
    """What proving needs to know of deliveries. ``wanted``: :data:`SENT`, with conditions."""
    return [Sent(**row._mapping) for row in session.execute(wanted)]


def held_unproven(session: Session, destination: str, *, limit: int = 200) -> list[Sent]:
    """What was sent to a destination, is held since it is not shown, and is to be looked for again now."""
    statement = (
        SENT.where(Outbox.destination == destination, Outbox.status == OutboxStatus.HELD, ~in_conflict())
        .where(Outbox.next_attempt_at <= time.time())
        .order_by(Outbox.job_id, Outbox.id)
        .limit(limit)
    )
    return read_sent(session, statement)


def record_proven(session: Session, sent: Sent, *, by: str, elsewhere: bool = False) -> None:
    """Record that a destination has a result, as ``by`` (commitment, query) says; the job may be done.

    ``elsewhere``: in another study than it was sent for, as the destination had announced.
    """
    job, row = _still_sent(session, sent, OutboxStatus.SENT, OutboxStatus.HELD)
    if row is not None:
        detail = {"by": by, "losses": row.losses, **({"filed": "in another study"} if elsewhere else {})}
        move(session, row, OutboxEvent.PROVE, detail=detail, proven_by=by, proven_at=time.time(), error="")
        settle_deliveries(session, job)


def record_missing(session: Session, sent: Sent, *, error: str, retry_at: float | None) -> None:
    """Send a result again that a destination acknowledged and does not have; give up when ``retry_at`` is None."""
    job, row = _still_sent(session, sent)
    if row is None:
        return
    move(
        session,
        row,
        OutboxEvent.GIVE_UP if retry_at is None else OutboxEvent.MISS,
        detail={"error": error, "retry_at": retry_at},
        next_attempt_at=time.time() if retry_at is None else retry_at,
        losses=row.losses + 1,
        error=error,
    )
    settle_deliveries(session, job)


def record_unplaced(session: Session, sent: Sent, *, reason: str, look_at: float) -> None:
    """Hold what a destination acknowledged and does not show as it was sent: to send it again would change nothing.

    It is looked for again at ``look_at``.
    """
    _, row = _still_sent(session, sent)
    if row is not None:
        move(session, row, OutboxEvent.HOLD, detail={"reason": reason}, next_attempt_at=look_at, error=reason)


def look_again(session: Session, sent: Sent, *, at: float) -> None:
    """Leave held what is still not shown, to be looked for again at ``at``."""
    _, row = _still_sent(session, sent, OutboxStatus.HELD)
    if row is not None:
        guarded_update(session, row, before=OutboxStatus.HELD, token=None, next_attempt_at=at)


def record_no_answer(session: Session, sent: Sent, *, error: str, look_at: float | None) -> None:
    """Whether the destination has it cannot be told: look again at ``look_at``, or give up when that is None."""
    job, row = _still_sent(session, sent)
    if row is None:
        return
    if look_at is None:
        move(session, row, OutboxEvent.GIVE_UP, detail={"error": error}, error=error)
        settle_deliveries(session, job)
        return
    changes = {"next_attempt_at": look_at, "proof_attempts": row.proof_attempts + 1, "error": error}
    guarded_update(session, row, before=OutboxStatus.SENT, token=None, **changes)


def count_request(session: Session, sent: Sequence[Sent]) -> None:
    """Count a commitment request that a destination accepted for these results."""
    ids = [one.outbox_id for one in sent]
    statement = update(Outbox).where(Outbox.id.in_(ids)).values(commitment_requests=Outbox.commitment_requests + 1)
    session.execute(statement)


def _still_sent(session: Session, sent: Sent, *states: OutboxStatus) -> tuple[Job, Outbox | None]:
    """Job and row, locked; None for the row when another node was faster or the job is no longer delivering.

    ``states``: in which it may be; only sent, unless told.
    """
    job, row = lock_job_and_delivery(session, sent.job_id, sent.outbox_id)
    is_open = row.status in (states or (OutboxStatus.SENT,)) and job.status == JobStatus.DELIVERING
    return job, row if is_open else None


def adopt_proof(session: Session, destination: str, proof: str) -> int:
    """Ask for the proof that is configured now, also of what was sent under another; returns how many rows changed."""
    ours = select(Job.id).where(Job.status.in_((JobStatus.DELIVERING, JobStatus.SENT_UNPROVEN)))
    open_states: Sequence[str] = (OutboxStatus.PENDING, OutboxStatus.SENDING, OutboxStatus.SENT, OutboxStatus.FAILED)
    statement = update(Outbox).where(
        Outbox.destination == destination,
        Outbox.proof != proof,
        Outbox.status.in_(open_states),
        Outbox.job_id.in_(ours),
    )
    return int(session.execute(statement.values(proof=proof)).rowcount)  # type: ignore[attr-defined]

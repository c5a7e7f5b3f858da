"""Under whose identity results go, and what is held because that is in doubt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from dicomnode.dicom.identity import Agreement
from dicomnode.errors import JobError
from dicomnode.store.deliver.outbox import Parcel, parcel_of
from dicomnode.store.deliver.results import settle_deliveries
from dicomnode.store.locks import lock_deliveries, lock_delivery, lock_job, lock_job_and_delivery, lock_jobs
from dicomnode.store.states import OutboxEvent, OutboxStatus
from dicomnode.store.tables import Job, Outbox, Result
from dicomnode.store.transitions import guarded_update, move, note

OWN, PACS = "own", "pacs"
"""What a person may decide about a held result: its own identity is right, or the one at the destination."""


def in_conflict() -> ColumnElement[bool]:
    """Condition on a held outbox row: it is in doubt whose study it is; any other was sent and is not shown."""
    return Outbox.identity.startswith(Agreement.CONFLICT)


def record_identity(session: Session, parcel: Parcel, agreement: str, keywords: Sequence[str] = ()) -> float:
    """Note under whose identity a leased result goes, where that is news; returns since when that holds.

    Raises
    ------
    LeaseLost : the result was withdrawn or taken over in the meantime.
    """
    row = lock_delivery(session, parcel.outbox_id)
    identity = f"{agreement}: {', '.join(keywords)}" if keywords else agreement
    if row.identity == identity and row.identity_at is not None:
        return row.identity_at
    now = time.time()
    told = select(Outbox.id).where(
        Outbox.job_id == row.job_id, Outbox.destination == row.destination, Outbox.identity == identity
    )
    is_news = session.scalar(told.limit(1)) is None
    changes: dict[str, Any] = {"identity": identity, "identity_at": now}
    guarded_update(session, row, before=OutboxStatus.SENDING, token=parcel.token, **changes)
    if is_news:
        detail = {"destination": row.destination, "agreement": agreement, "differs": ", ".join(keywords)}
        note(session, session.get_one(Job, row.job_id), "identity", detail=detail)
    return now


def record_held(session: Session, parcel: Parcel, *, reason: str, look_at: float) -> None:
    """Hold a leased result back until it is settled whose study it is. It is looked at again at ``look_at``.

    Raises
    ------
    LeaseLost : the result was withdrawn or taken over in the meantime.
    """
    _, row = lock_job_and_delivery(session, parcel.job_id, parcel.outbox_id)
    changes: dict[str, Any] = {"lease_until": None, "next_attempt_at": look_at, "error": reason}
    move(session, row, OutboxEvent.HOLD, token=parcel.token, detail={"reason": reason}, **changes)


def held_parcels(session: Session, destination: str, *, due: float | None = None, limit: int = 50) -> list[Parcel]:
    """Results held for a destination since it is in doubt whose study it is, oldest job first.

    With ``due``, only those to be looked at by then.
    """
    statement = select(Outbox, Result).join(Result, Result.id == Outbox.result_id)
    statement = statement.where(Outbox.destination == destination, Outbox.status == OutboxStatus.HELD, in_conflict())
    if due is not None:
        statement = statement.where(Outbox.next_attempt_at <= due)
    rows = session.execute(statement.order_by(Outbox.job_id, Outbox.id).limit(limit))
    return [parcel_of(row, result) for row, result in rows]


def look_again(session: Session, parcel: Parcel, *, at: float) -> None:
    """Leave a result held, to be looked at again at ``at``."""
    row = lock_delivery(session, parcel.outbox_id)
    if row.status == OutboxStatus.HELD:
        guarded_update(session, row, before=OutboxStatus.HELD, token=None, next_attempt_at=at)


def release_settled(session: Session, parcel: Parcel) -> bool:
    """Release a held result whose destination now agrees by itself; False where somebody was faster."""
    row = lock_delivery(session, parcel.outbox_id)
    if row.status == OutboxStatus.HELD:
        reason = {"reason": "the destination no longer contradicts"}
        move(session, row, OutboxEvent.RELEASE, detail=reason, next_attempt_at=time.time(), error="")
        return True
    return False


def count_held(session: Session) -> dict[str, int]:
    """How many results are held, by destination."""
    statement = select(Outbox.destination, func.count()).where(Outbox.status == OutboxStatus.HELD)
    return {name: count for name, count in session.execute(statement.group_by(Outbox.destination))}


def release_held(session: Session, job_id: int, *, identity: str, destination: str = "") -> int:
    """A person has looked: send what is held of a job under this identity (``own`` or ``pacs``); returns how many.

    Raises
    ------
    JobError : there is no such job, or nothing of it is held (for this destination).
    """
    rows = _held(session, job_id, destination)
    for row in rows:
        now = time.time()
        fresh: dict[str, Any] = {"next_attempt_at": now, "created_at": now, "attempts": 0, "error": ""}
        detail = {"identity": identity, "by": "operator"}
        move(session, row, OutboxEvent.RELEASE, detail=detail, identity_by=identity, **fresh)
    return len(rows)


def discard_held(session: Session, job_id: int, *, destination: str = "") -> int:
    """A person has looked: nothing of what is held of a job may be sent; returns how many results.

    Raises
    ------
    JobError : there is no such job, or nothing of it is held (for this destination).
    """
    rows = _held(session, job_id, destination)
    for row in rows:
        move(session, row, OutboxEvent.WITHDRAW, detail={"by": "operator"})
    settle_deliveries(session, lock_job(session, job_id))
    return len(rows)


def _held(session: Session, job_id: int, destination: str) -> Sequence[Outbox]:
    if not lock_jobs(session, Job.id == job_id):
        raise JobError(f"there is no job {job_id}")
    there = [Outbox.destination == destination] if destination else []
    rows = lock_deliveries(session, Outbox.job_id == job_id, Outbox.status == OutboxStatus.HELD, *there)
    if not rows:
        raise JobError(f"nothing of job {job_id} is held{f' for {destination}' if destination else ''}")
    return rows

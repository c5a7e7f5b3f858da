"""A state changes by one guarded update plus one event row, in one transaction. Nothing else writes ``status``."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from dicomnode.errors import IllegalTransition, LeaseLost
from dicomnode.store.states import LEASED, TRANSITIONS
from dicomnode.store.tables import Event, Job, Outbox, Run, Series

Stateful = Series | Job | Run | Outbox


def move(
    session: Session,
    row: Stateful,
    event: str,
    *,
    token: int | None = None,
    detail: dict[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Move a row along one arrow and write the event row.

    Parameters
    ----------
    row : as read in this transaction; its attributes are brought up to date.
    event : a member of the row's event enumeration.
    token : fencing token; the update happens only while the row's lease carries it.
    detail : shown by ``dicomnode why``; no patient attributes.
    changes : further columns of the same row, set in the same statement.

    Raises
    ------
    IllegalTransition : no arrow leads from the row's state by this event.
    LeaseLost : someone else changed the row since it was read, or holds the lease now; with a ``token`` also when the
        row is not under lease any more (withdrawn, superseded, recovered), whatever the event.
    """
    before = row.status
    if token is not None and before != LEASED.get(row.__tablename__):
        raise LeaseLost(f"{row.__tablename__} {row.id} is not under lease: it is {before}")
    after = TRANSITIONS[row.__tablename__].get((before, event))
    if after is None:
        raise IllegalTransition(f"{row.__tablename__} {row.id}: no arrow {event!r} from {before!r}")
    guarded_update(session, row, before=before, token=token, status=str(after), **changes)
    note(session, row, str(event), before=before, after=str(after), detail=detail)


def guarded_update(session: Session, row: Stateful, *, before: str, token: int | None, **changes: Any) -> None:
    """Change columns of a row only while it is in state ``before`` and its lease carries ``token``.

    Raises
    ------
    LeaseLost : it is not.
    """
    session.flush()
    table = type(row)
    statement = update(table).where(table.id == row.id, table.status == before).values(**changes)
    if token is not None:
        statement = statement.where(table.__table__.c.lease_token == token)
    # RETURNING brings the row up to date: no second statement has to read it.
    options = {"synchronize_session": False, "populate_existing": True}
    if session.scalars(statement.returning(table), execution_options=options).one_or_none() is None:
        raise LeaseLost(f"{row.__tablename__} {row.id} was changed by someone else")


def note(
    session: Session,
    row: Stateful,
    name: str,
    *,
    before: str = "",
    after: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Write an event row about ``row`` without changing its state."""
    session.add(
        Event(
            at=time.time(),
            subject=row.__tablename__,
            subject_id=row.id,
            name=name,
            before=before,
            after=after,
            study_uid=getattr(row, "study_uid", ""),
            series_uid=getattr(row, "series_uid", ""),
            job_id=row.id if isinstance(row, Job) else getattr(row, "job_id", None),
            detail=detail or {},
        )
    )

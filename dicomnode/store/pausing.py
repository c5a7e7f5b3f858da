"""What an operator has paused, until it is resumed: the queue of jobs, or the deliveries to a destination."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.tables import Event, Paused


class Part(StrEnum):
    """What can be paused."""

    QUEUE = "queue"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class PausedLine:
    """One thing that is paused. ``name``: of the destination; empty for the queue. ``by``: who did it."""

    part: str
    name: str
    since_at: float
    by: str


def paused(part: Part, name: str | InstrumentedAttribute[str] = "") -> ColumnElement[bool]:
    """Condition of a query: nothing of it is to begin; what has begun is finished.

    ``name``: of the destination, or the column that has it.
    """
    return exists().where(Paused.part == part, Paused.name == name)


def pause(session: Session, part: Part, name: str = "", *, by: str = "") -> bool:
    """Let nothing of it begin; False where it is paused already."""
    is_new = insert_if_absent(session, Paused, part=part, name=name, since_at=time.time(), by=by)
    if is_new:
        _note(session, "pause", part, name, by)
    return is_new


def resume(session: Session, part: Part, name: str = "", *, by: str = "") -> bool:
    """Let it go on; False where it is not paused."""
    gone = session.execute(delete(Paused).where(Paused.part == part, Paused.name == name))
    if not gone.rowcount:  # type: ignore[attr-defined]
        return False
    _note(session, "resume", part, name, by)
    return True


def list_paused(session: Session) -> list[PausedLine]:
    """All that is paused, the queue first."""
    rows = session.scalars(select(Paused).order_by(Paused.part.desc(), Paused.name))
    return [PausedLine(row.part, row.name, row.since_at, row.by) for row in rows]


def _note(session: Session, did: str, part: Part, name: str, by: str) -> None:
    detail = {"part": part, "name": name, "by": by}
    session.add(Event(at=time.time(), subject="operator", name=did, detail=detail))

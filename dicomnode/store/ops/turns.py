"""Whose turn it is: of several processes on one database one does what would otherwise be done by each."""

from __future__ import annotations

import time

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.tables import Turn


def has_turn(session: Session, what: str, holder: str, *, for_s: float) -> bool:
    """Whether it is this process's turn for so many seconds more."""
    found = select(Turn.id).where(Turn.what == what, Turn.holder == holder, Turn.until > time.time() + for_s)
    return session.scalar(found) is not None


def take_turn(session: Session, what: str, holder: str, *, for_s: float) -> bool:
    """Have the turn, or keep it, unless another process has it.

    Parameters
    ----------
    for_s : after so many seconds without another call somebody else may; 0 ends the turn at once.
    """
    now = time.time()
    if insert_if_absent(session, Turn, what=what, holder=holder, until=now + for_s):
        return True
    free = or_(Turn.holder == holder, Turn.until < now)
    taken = update(Turn).where(Turn.what == what, free).values(holder=holder, until=now + for_s)
    return bool(session.execute(taken).rowcount)  # type: ignore[attr-defined]

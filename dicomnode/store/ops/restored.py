"""What a database must know after it was brought back: the world went on without it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicomnode.store.deliver.results import underway
from dicomnode.store.receive.receptions import OPEN, end_lost_associations
from dicomnode.store.restored import RESTORED
from dicomnode.store.states import InstanceStatus
from dicomnode.store.tables import Association, Event, Instance, Outbox

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Restored:
    """What was found: deliveries whose outcome is unknown now, and images that did not come back."""

    doubtful: int
    missing: int


def after_restore(session: Session, spool: Path) -> Restored:
    """Make a database that was brought back true again; to be called before a node starts on it.

    What was to be sent may have been sent after the backup was made: destinations are asked before it is sent again, as
    after any unknown outcome. Associations that were open are over. Images that did not come back are gone.
    """
    doubtful = session.execute(update(Outbox).where(underway()).values(unanswered=Outbox.unanswered + 1))
    for receiver in session.scalars(select(Association.receiver).where(Association.outcome == OPEN).distinct()).all():
        end_lost_associations(session, receiver)
    missing = _mark_missing(session, spool)
    found = Restored(doubtful.rowcount, missing)  # type: ignore[attr-defined]
    detail = {"doubtful": found.doubtful, "missing": found.missing}
    session.add(Event(at=time.time(), subject="storage", name=RESTORED, detail=detail))
    return found


def _mark_missing(session: Session, spool: Path) -> int:
    rows = session.execute(select(Instance.id, Instance.path).where(Instance.status != InstanceStatus.PURGED)).all()
    gone = [row.id for row in rows if not (spool / row.path).exists()]
    for begin in range(0, len(gone), _AT_ONCE):
        some = Instance.id.in_(gone[begin : begin + _AT_ONCE])
        session.execute(update(Instance).where(some).values(status=InstanceStatus.PURGED))
    return len(gone)

"""Whether a database was brought back from a backup, and since when: what came after the backup may have been done."""

from __future__ import annotations

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from dicomnode.store.tables import Event

RESTORED = "restored"
"""Name of the event, with subject ``storage``."""


def was_restored_since(session: Session, moment: float) -> bool:
    """Whether the database was brought back after a moment (seconds since the epoch)."""
    told = exists().where(Event.at >= moment, Event.subject == "storage", Event.name == RESTORED)
    return bool(session.scalar(select(told)))

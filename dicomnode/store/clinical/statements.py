"""What a source says again about the same observation: the newest statement counts, in whatever order they arrive.

A laboratory sends a preliminary value, the final one, a correction, or takes it back, each with the same order number;
and an interface engine that was away sends old messages again. A row for each observation remembers the newest word.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, or_, update
from sqlalchemy.orm import Session

from dicomnode.records import Observation, Patient, ReportSection
from dicomnode.store.clinical.observations import Stored, store_section, store_value
from dicomnode.store.clinical.patients import columns_of
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.tables import ClinicalText, ClinicalValue, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One statement about one observation.

    Attributes
    ----------
    key : names the observation, whatever is said about it; sha256, hex.
    told_at : seconds since the epoch, by the clock of whoever says it.
    rank : of several in the same second, the highest counts.
    known : what is said; None where it is taken back.
    """

    key: str
    patient: Patient
    told_at: float
    rank: int
    known: Observation | ReportSection | None


def store_statements(session: Session, statements: Iterable[Told]) -> Stored:
    """Write statements in the place of what was said before; an older one than is known changes nothing."""
    now = time.time()
    # one order for all transactions: two that wait for each other would both be lost
    new = [_store(session, one, now) for one in sorted(statements, key=lambda one: (one.key, one.told_at, one.rank))]
    return Stored(sum(new), len(new) - sum(new))


def _store(session: Session, one: Told, now: float) -> bool:
    if not _is_newest(session, one, now):
        return False
    changed = _replace(session, one, now)
    if changed:
        session.execute(update(Statement).where(Statement.key == one.key).values(arrived_at=now))
    return changed


def _is_newest(session: Session, one: Told, now: float) -> bool:
    stated = {"told_at": one.told_at, "rank": one.rank}
    later = or_(Statement.told_at < one.told_at, (Statement.told_at == one.told_at) & (Statement.rank <= one.rank))
    advance = update(Statement).where(Statement.key == one.key, later).values(**stated)
    if session.execute(advance).rowcount:  # type: ignore[attr-defined]
        return True
    row = {**columns_of(one.patient), "key": one.key, "arrived_at": now, **stated}
    # a row that another transaction has just written is locked by it: the second try sees what it says
    return insert_if_absent(session, Statement, **row) or bool(session.execute(advance).rowcount)  # type: ignore[attr-defined]


def _replace(session: Session, one: Told, now: float) -> bool:
    """Whether anything is other than before."""
    kept = _insert(session, one, now)
    gone = 0
    for table in (ClinicalValue, ClinicalText):
        earlier = delete(table).where(table.statement == one.key)
        if one.known is not None:
            earlier = earlier.where(table.digest != kept[0])
        gone += session.execute(earlier).rowcount  # type: ignore[attr-defined]
    return kept[1] or gone > 0


def _insert(session: Session, one: Told, now: float) -> tuple[str, bool]:
    """Digest of the row that says it, and whether it is new."""
    if one.known is None:
        return "", False
    if isinstance(one.known, Observation):
        return store_value(session, one.known, now, one.key)
    return store_section(session, one.known, now, one.key)

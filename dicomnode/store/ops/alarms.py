"""Alarms: faults that last, and urgent findings; kept in the database, so that a restart repeats no message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.tables import Alarm

FAULT, FINDING = "fault", "finding"
KEPT_S = 2 * 86400.0
"""A finding is told once: that it was told is kept for longer than it is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLine:
    """One alarm. ``told``, ``told_end``: the channels that have had the message of its beginning, and of its end."""

    alarm_id: int
    kind: str
    name: str
    says: str
    since_at: float
    ended_at: float | None
    told: tuple[str, ...]
    told_end: tuple[str, ...]


def see_faults(session: Session, owner: str, faults: Mapping[str, str], now: float) -> None:
    """What this process sees is wrong now, by name: new ones begin, those that are gone end, those that are back go on.

    Parameters
    ----------
    faults : name -> what is said of it.
    """
    known = {row.name: row for row in session.scalars(select(Alarm).where(Alarm.owner == owner, Alarm.kind == FAULT))}
    for name, says in faults.items():
        if name not in known:
            _begin(session, owner, FAULT, name, says, now)
        elif known[name].ended_at is not None and not known[name].told_end:
            known[name].ended_at = None
    for name, row in known.items():
        if name not in faults and row.ended_at is None:
            row.ended_at = now


def see_finding(session: Session, owner: str, name: str, says: str, now: float) -> bool:
    """An urgent finding; False where it is known."""
    return _begin(session, owner, FINDING, name, says, now)


def _begin(session: Session, owner: str, kind: str, name: str, says: str, now: float) -> bool:
    values: dict[str, Any] = {"owner": owner, "kind": kind, "name": name, "says": says, "since_at": now}
    return insert_if_absent(session, Alarm, **values, told=[], told_end=[])


def alarms_of(session: Session, owner: str) -> Sequence[AlarmLine]:
    """All alarms of a process, the oldest first."""
    return [
        AlarmLine(
            alarm_id=row.id,
            kind=row.kind,
            name=row.name,
            says=row.says,
            since_at=row.since_at,
            ended_at=row.ended_at,
            told=tuple(row.told),
            told_end=tuple(row.told_end),
        )
        for row in session.scalars(select(Alarm).where(Alarm.owner == owner).order_by(Alarm.id))
    ]


def note_told(session: Session, alarm: AlarmLine, channel: str, *, is_end: bool) -> None:
    """A channel has had the message of the beginning, or of the end."""
    row = session.get_one(Alarm, alarm.alarm_id)
    if is_end:
        row.told_end = [*row.told_end, channel]
    else:
        row.told = [*row.told, channel]


def forget(session: Session, alarm: AlarmLine) -> None:
    """An alarm that is over, and of which all is told."""
    session.execute(delete(Alarm).where(Alarm.id == alarm.alarm_id))


def forget_old_findings(session: Session, now: float) -> None:
    """Findings that nobody looks for any more."""
    session.execute(delete(Alarm).where(Alarm.kind == FINDING, Alarm.since_at < now - KEPT_S))

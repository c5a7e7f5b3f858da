"""Alarms: faults that last, and urgent findings; kept in the database, so that a restart repeats no message."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.tables import Alarm

FAULT, FINDING = "fault", "finding"
SHARED = "all nodes"
"""The owner of what is true of the database, whichever process sees it."""
KEPT_S = 2 * 86400.0
"""A finding is told once: that it was told is kept for longer than it is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLine:
    """One alarm.

    Attributes
    ----------
    owner : the process that saw it, or :data:`SHARED`.
    ended_at : None while it lasts.
    told, told_end : the channels that have had the message of its beginning, and of its end.
    job_id, detail : of a finding: whose, and what it is (``model``, ``outcome``); ``refused``: why the receiver of
        its report would not have it.
    acknowledged_at, acknowledged_by : who has seen it, and when; None and empty while nobody has.
    """

    alarm_id: int
    owner: str
    kind: str
    name: str
    says: str
    since_at: float
    ended_at: float | None
    told: tuple[str, ...]
    told_end: tuple[str, ...]
    acknowledged_at: float | None
    acknowledged_by: str
    job_id: int | None
    detail: dict[str, Any]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class UrgentFinding:
    """A finding over a limit. ``name`` is the same whenever it is looked for; ``outcome``: as the run keeps it."""

    name: str
    says: str
    job_id: int
    model: str
    outcome: dict[str, Any]


def see_finding(session: Session, owner: str, found: UrgentFinding, now: float) -> bool:
    """An urgent finding; False where it is known, to a process of an earlier version perhaps."""
    if session.scalar(select(Alarm.id).where(Alarm.kind == FINDING, Alarm.name == found.name)) is not None:
        return False
    detail = {"model": found.model, "outcome": found.outcome}
    return _begin(session, owner, FINDING, found.name, found.says, now, job_id=found.job_id, detail=detail)


def _begin(session: Session, owner: str, kind: str, name: str, says: str, now: float, **about: Any) -> bool:
    values: dict[str, Any] = {"owner": owner, "kind": kind, "name": name, "says": says, "since_at": now}
    empty: dict[str, Any] = {"told": [], "told_end": [], "acknowledged_by": "", "detail": {}}
    return insert_if_absent(session, Alarm, **{**empty, **values, **about})


def alarms_of(session: Session, owner: str) -> Sequence[AlarmLine]:
    """All alarms of a process, the oldest first."""
    return [_line(row) for row in session.scalars(select(Alarm).where(Alarm.owner == owner).order_by(Alarm.id))]


def all_alarms(session: Session) -> Sequence[AlarmLine]:
    """What lasts and what was found, of all processes on this database, the newest first."""
    rows = session.scalars(select(Alarm).where(Alarm.ended_at.is_(None)).order_by(Alarm.id.desc()))
    return [_line(row) for row in rows]


def _line(row: Alarm) -> AlarmLine:
    return AlarmLine(
        alarm_id=row.id,
        owner=row.owner,
        kind=row.kind,
        name=row.name,
        says=row.says,
        since_at=row.since_at,
        ended_at=row.ended_at,
        told=tuple(row.told),
        told_end=tuple(row.told_end),
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        job_id=row.job_id,
        detail=row.detail,
    )


def acknowledge(session: Session, alarm_id: int, *, by: str) -> str | None:
    """Somebody has seen an alarm that lasts; its name, or None where there is none. Who was first stays."""
    row = session.get(Alarm, alarm_id)
    if row is None or row.ended_at is not None:
        return None
    if row.acknowledged_at is None:
        row.acknowledged_at, row.acknowledged_by = time.time(), by[:64]
    return row.name


def note_told(session: Session, alarm: AlarmLine, channel: str, *, is_end: bool) -> None:
    """A channel has had the message of the beginning, or of the end."""
    row = session.get_one(Alarm, alarm.alarm_id)
    if is_end:
        row.told_end = [*row.told_end, channel]
    else:
        row.told = [*row.told, channel]


def note_refused(session: Session, alarm: AlarmLine, reason: str) -> None:
    """The receiver of the report of a finding would not have it."""
    row = session.get_one(Alarm, alarm.alarm_id)
    row.detail = {**row.detail, "refused": reason}


def forget(session: Session, alarm: AlarmLine) -> None:
    """An alarm that is over, and of which all is told."""
    session.execute(delete(Alarm).where(Alarm.id == alarm.alarm_id))


def forget_old_findings(session: Session, now: float) -> None:
    """Findings that nobody looks for any more."""
    session.execute(delete(Alarm).where(Alarm.kind == FINDING, Alarm.since_at < now - KEPT_S))

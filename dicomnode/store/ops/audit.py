"""Audit messages that wait for the syslog server, and how far the history was read for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.states import OutboxEvent
from dicomnode.store.tables import Association, AuditMessage, AuditReader, Event, Instance, Job, Outbox, Result

ONLY_READER = 1
PORTION = 500
"""Rows of the history that one look reads, and messages that one connection carries."""
SETTLED_S = 3.0
"""PostgreSQL gives ids before it commits: rows younger than this are left to the next look, so that none is missed."""
_SENT = (OutboxEvent.CLAIM, OutboxEvent.SENT)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One message that waits."""

    row_id: int
    at: float
    xml: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Instances of one study that came, or were sent. ``classes``: SOP class -> how many. ``is_over``: all of it."""

    study_uid: str
    accession_number: str
    peer: str
    address: str
    classes: Mapping[str, int]
    is_incoming: bool
    is_over: bool
    outcome: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What an operator did."""

    did: str
    by: str
    at: float
    study_uid: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def add_messages(session: Session, messages: Iterable[tuple[float, str]], *, most: int) -> int:
    """Have messages wait; returns how many there was no room for."""
    room = max(0, most - count_waiting(session))
    given = list(messages)
    session.add_all([AuditMessage(at=at, xml=xml) for at, xml in given[:room]])
    return max(0, len(given) - room)


def count_waiting(session: Session) -> int:
    """How many wait."""
    return session.scalar(select(func.count()).select_from(AuditMessage)) or 0


def oldest_waiting_at(session: Session) -> float | None:
    """When the oldest event was that waits; None where none does."""
    return session.scalar(select(AuditMessage.at).order_by(AuditMessage.id).limit(1))


def waiting(session: Session) -> Sequence[AuditRow]:
    """The oldest messages, in their order."""
    rows = session.scalars(select(AuditMessage).order_by(AuditMessage.id).limit(PORTION))
    return [AuditRow(row.id, row.at, row.xml) for row in rows]


def forget_messages(session: Session, row_ids: Sequence[int]) -> None:
    """They are sent."""
    session.execute(delete(AuditMessage).where(AuditMessage.id.in_(row_ids)))


def take_turn(session: Session, sender: str, for_s: float) -> bool:
    """Have a process be the one that sends, unless another one is: two would send each message twice.

    Parameters
    ----------
    for_s : after so long without another call somebody else may; 0 ends the turn at once.
    """
    now = time.time()
    free = or_(AuditReader.sender == sender, AuditReader.sends_until < now)
    taken = update(AuditReader).where(free).values(sender=sender, sends_until=now + for_s)
    return bool(session.execute(taken).rowcount)  # type: ignore[attr-defined]


def read_on(session: Session) -> tuple[list[Transfer], list[Deed]]:
    """What the history tells since the last call, in the transaction that has its messages wait.

    The first call begins with what comes from then on.
    """
    reader = session.scalars(select(AuditReader).with_for_update(skip_locked=True)).first()
    if reader is None:
        # Nobody has read before; or another process reads now, and whatever it misses comes at the next call.
        newest = {"association_id": _newest(session, Association), "event_id": _newest(session, Event)}
        insert_if_absent(session, AuditReader, id=ONLY_READER, open_ids=[], **newest)
        return [], []
    transfers = list(_received(session, reader))
    events = _events(session, reader.event_id)
    if events:
        reader.event_id = events[-1].id
    transfers += _sent(session, [one for one in events if one.subject == "outbox" and one.name in _SENT])
    return transfers, [_deed(one) for one in events if one.subject == "operator"]


def _newest(session: Session, table: type[Association] | type[Event]) -> int:
    return session.scalar(select(func.max(table.id))) or 0


def _events(session: Session, after: int) -> Sequence[Event]:
    settled = Event.at <= time.time() - SETTLED_S
    return session.scalars(select(Event).where(Event.id > after, settled).order_by(Event.id).limit(PORTION)).all()


def _received(session: Session, reader: AuditReader) -> Iterable[Transfer]:
    settled = Association.opened_at <= time.time() - SETTLED_S
    of = select(Association).where(Association.id > reader.association_id, settled)
    begun = session.scalars(of.order_by(Association.id).limit(PORTION)).all()
    known = session.scalars(select(Association).where(Association.id.in_(reader.open_ids))).all()
    ended = [one for one in (*known, *begun) if one.ended_at is not None]
    reader.association_id = begun[-1].id if begun else reader.association_id
    reader.open_ids = [one.id for one in (*known, *begun) if one.ended_at is None]
    for association in begun:
        yield from _of_association(session, association, is_over=False)
    for association in ended:
        yield from _of_association(session, association, is_over=True)


def _of_association(session: Session, of: Association, *, is_over: bool) -> Iterable[Transfer]:
    columns = (Instance.study_uid, Instance.sop_class_uid)
    counted = select(*columns, func.count()).where(Instance.association_id == of.id).group_by(*columns)
    studies: dict[str, dict[str, int]] = {}
    for study_uid, sop_class_uid, count in session.execute(counted):
        studies.setdefault(study_uid, {})[sop_class_uid] = count
    for study_uid, classes in studies.items():
        yield Transfer(
            study_uid=study_uid,
            accession_number="",
            peer=of.calling_ae,
            address=of.peer_address,
            classes=classes,
            is_incoming=True,
            is_over=is_over,
            outcome=of.outcome,
            at=of.ended_at if is_over and of.ended_at is not None else of.opened_at,
        )


def _sent(session: Session, events: Sequence[Event]) -> list[Transfer]:
    """Deliveries of one job to one destination that were begun, or sent, in this look are one transfer."""
    found: dict[tuple[str, int, str], tuple[float, dict[str, int]]] = {}
    for event in events:
        columns = (Outbox.job_id, Outbox.destination, Result.sop_class_uid)
        of = select(*columns).join(Result, Result.id == Outbox.result_id).where(Outbox.id == event.subject_id)
        row = session.execute(of).first()
        if row is not None:
            _, classes = found.setdefault((event.name, row[0], row[1]), (event.at, {}))
            classes[row[2]] = classes.get(row[2], 0) + 1
    return [_delivery(session, *key, at, classes) for key, (at, classes) in found.items()]


def _delivery(
    session: Session, event: str, job_id: int, destination: str, at: float, classes: Mapping[str, int]
) -> Transfer:
    job = session.get_one(Job, job_id)
    return Transfer(
        study_uid=job.study_uid,
        accession_number=job.accession_number,
        peer=destination,
        address="",
        classes=classes,
        is_incoming=False,
        is_over=event == OutboxEvent.SENT,
        outcome="released",
        at=at,
    )


def without_accession(one: Transfer) -> Transfer:
    """The same, without what names the order."""
    return replace(one, accession_number="")


def _deed(event: Event) -> Deed:
    detail = {key: value for key, value in event.detail.items() if key != "by"}
    by = str(event.detail.get("by", ""))
    return Deed(did=event.name, by=by, at=event.at, study_uid=event.study_uid, detail=detail)

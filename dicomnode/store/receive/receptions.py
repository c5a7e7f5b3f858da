"""Associations as rows: opened with their first image, ended however they end."""

from __future__ import annotations

import time
from enum import StrEnum

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from dicomnode.store.states import SeriesStatus
from dicomnode.store.tables import Association, Instance, Series

OPEN = "open"
RELEASED = "released"
ABORTED = "aborted"
LOST = "lost"


class Indexed(StrEnum):
    """What a received instance turned out to be."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER_BYTES = "other_bytes"


def open_association(session: Session, *, receiver: str, calling_ae: str, called_ae: str, peer_address: str) -> int:
    """Record that a peer has associated; returns the row's id."""
    now = time.time()
    row = Association(
        receiver=receiver,
        calling_ae=calling_ae,
        called_ae=called_ae,
        peer_address=peer_address,
        opened_at=now,
        last_seen_at=now,
        outcome=OPEN,
    )
    session.add(row)
    session.flush()
    return row.id


def end_association(session: Session, association_id: int, outcome: str, *, settle_s: float) -> None:
    """Record how an association ended (``released``, ``aborted``); its series are looked at after ``settle_s``."""
    _end(session, Association.id == association_id, outcome)
    _look_at_series_of(session, association_id, time.time() + settle_s)


def end_lost_associations(session: Session, receiver: str) -> int:
    """Close what a crash of this receiver left open, and of those that it started (``RECEIVER/1``); returns how many.

    Call at start, before accepting peers.
    """
    theirs = Association.receiver.startswith(f"{receiver}/", autoescape=True)
    lost = session.scalars(
        select(Association.id).where(or_(Association.receiver == receiver, theirs), Association.outcome == OPEN)
    ).all()
    for association_id in lost:
        _end(session, Association.id == association_id, LOST)
        _look_at_series_of(session, association_id, time.time())
    return len(lost)


def _end(session: Session, which: ColumnElement[bool], outcome: str) -> None:
    session.execute(
        update(Association).where(which, Association.outcome == OPEN).values(outcome=outcome, ended_at=time.time())
    )


def _look_at_series_of(session: Session, association_id: int, due_at: float) -> None:
    fed = select(Instance.series_id).where(Instance.association_id == association_id)
    session.execute(
        update(Series).where(Series.id.in_(fed), Series.status == SeriesStatus.RECEIVING).values(due_at=due_at)
    )

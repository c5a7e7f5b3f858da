"""What reception writes: associations, and one row per received file, before C-STORE says Success."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from dicomnode.errors import Refusal
from dicomnode.records import ReceivedInstance
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.locks import lock_instances, lock_series
from dicomnode.store.queue.jobs import supersede_jobs_of_series
from dicomnode.store.receive.rejected_images import apply_rejection, lock_rejected
from dicomnode.store.retention import KEPT, is_taken_in_part
from dicomnode.store.states import InstanceStatus, SeriesEvent, SeriesStatus
from dicomnode.store.tables import Association, Event, Instance, Result, Series
from dicomnode.store.transitions import move, note

OPEN = "open"
RELEASED = "released"
ABORTED = "aborted"
LOST = "lost"


_TOLD = (Refusal.UID_MISMATCH, Refusal.HEADER_TOO_LARGE, Refusal.TOO_MANY_INSTANCES, Refusal.UNREADABLE)
"""Reasons that an event tells, once for a series."""
_MAX_TOLD = 128
"""Characters of a UID, which may be none."""


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
    """Close what a crash of this receiver left open; returns how many. Call at start, before accepting peers."""
    lost = session.scalars(
        select(Association.id).where(Association.receiver == receiver, Association.outcome == OPEN)
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


def is_own_result(session: Session, sop_instance_uid: str) -> bool:
    """Whether this SOP instance is a result that this node made."""
    return session.scalar(select(Result.id).where(Result.sop_instance_uid == sop_instance_uid)) is not None


def index_instance(
    session: Session,
    received: ReceivedInstance,
    *,
    association_id: int | None,
    sender_ae: str,
    settle_s: float,
    max_instances: int,
) -> Indexed:
    """Write the row of one file; a late one reopens its series and supersedes the series' jobs.

    Beyond ``max_instances`` of a series a file is kept, and nothing of its header.

    The same SOP instance with the same bytes changes nothing but the association that brought it last, so that a
    sender which starts over after a broken association is seen to have sent the whole series.
    """
    now = time.time()
    if received.rejection is not None:
        lock_rejected(session, received.rejection)
    series = _series_of(session, received, sender_ae, now)
    known = lock_instances(session, *_same_sop_instance(received))
    _count(session, association_id, now)
    same = next((row for row in known if row.digest == received.digest), None)
    if same is not None and same.status == InstanceStatus.PURGED:
        _revive(same, received, known, now)
        _take_up_if_whole(session, series)
    if same is not None:
        _touch(session, series, same, association_id, now + settle_s)
        return Indexed.DUPLICATE
    received = _set_aside_if_late(session, series, received, max_instances)
    _note_first_of_kind(session, series, received)
    session.add(_instance(received, series, association_id, now))
    if received.not_used is None:
        _reopen_if_closed(session, series, adds_image=not known)
    elif received.not_used == Refusal.AFTER_RETENTION:
        _take_up_if_whole(session, series)
    if received.rejection is not None:
        apply_rejection(session, series, received.rejection, settle_s=settle_s)
    if series.status == SeriesStatus.RECEIVING:
        series.last_instance_at, series.due_at = now, now + settle_s
    if all(row.status == InstanceStatus.PURGED for row in known):
        return Indexed.NEW
    _note_other_bytes(session, series, received)
    return Indexed.OTHER_BYTES


def _same_sop_instance(received: ReceivedInstance) -> tuple[ColumnElement[bool], ...]:
    return (
        Instance.sop_instance_uid == received.sop_instance_uid,
        Instance.study_uid == received.study_uid,
        Instance.series_uid == received.series_uid,
    )


def _series_of(session: Session, received: ReceivedInstance, sender_ae: str, now: float) -> Series:
    insert_if_absent(
        session,
        Series,
        study_uid=received.study_uid,
        series_uid=received.series_uid,
        accession_number=str(received.header.get("AccessionNumber") or "")[:64],
        modality=str(received.header.get("Modality") or "")[:16],
        sender_ae=sender_ae,
        status=SeriesStatus.RECEIVING,
        reopened=0,
        first_instance_at=now,
        last_instance_at=now,
        acquisition_key="",
        refusal="",
        refusal_detail="",
    )
    (series,) = lock_series(session, Series.study_uid == received.study_uid, Series.series_uid == received.series_uid)
    return series


def _instance(received: ReceivedInstance, series: Series, association_id: int | None, now: float) -> Instance:
    return Instance(
        series_id=series.id,
        association_id=association_id,
        sop_instance_uid=received.sop_instance_uid,
        sop_class_uid=received.sop_class_uid,
        study_uid=received.study_uid,
        series_uid=received.series_uid,
        transfer_syntax_uid=received.transfer_syntax_uid,
        path=str(received.path),
        digest=received.digest,
        size_bytes=received.size_bytes,
        header=received.header,
        status=_status(received),
        reason=received.not_used or "",
        received_at=now,
    )


def _status(received: ReceivedInstance) -> InstanceStatus:
    return InstanceStatus.NOT_USED if received.not_used else InstanceStatus.USED


def _count(session: Session, association_id: int | None, now: float) -> None:
    session.execute(
        update(Association)
        .where(Association.id == association_id)
        .values(instances=Association.instances + 1, last_seen_at=now)
    )


def _touch(session: Session, series: Series, row: Instance, association_id: int | None, due_at: float) -> None:
    if association_id is not None:
        row.association_id = association_id
    if series.status == SeriesStatus.RECEIVING:
        series.last_instance_at, series.due_at = time.time(), due_at


def _revive(row: Instance, received: ReceivedInstance, known: Sequence[Instance], now: float) -> None:
    """Take a file up again whose bytes retention had taken: its results exist already, its retention begins anew."""
    # What was set aside stays so; the reason outlasts the purge.
    row.status = InstanceStatus.NOT_USED if row.reason else _status(received)
    row.path, row.received_at = str(received.path), now
    for other in known:
        if other is not row and other.status == InstanceStatus.USED and other.pixel_digest == row.pixel_digest != "":
            other.status = InstanceStatus.OLDER


def _reopen_if_closed(session: Session, series: Series, *, adds_image: bool) -> None:
    """``reopened`` counts late images only: a sender that corrects a header does not add to a series."""
    if series.status == SeriesStatus.RECEIVING:
        return
    reopened = series.reopened + 1 if adds_image else series.reopened
    move(session, series, SeriesEvent.REOPEN, reopened=reopened, refusal="", refusal_detail="")
    supersede_jobs_of_series(session, series, reason="late instance" if adds_image else "new header")


def _is_past_retention(session: Session, series: Series) -> bool:
    """Whether retention has taken slices of a series that is closed: what comes now makes no series of them."""
    return series.status != SeriesStatus.RECEIVING and is_taken_in_part(session, series.id, back=KEPT)


def _take_up_if_whole(session: Session, series: Series) -> None:
    """Use the late images that were set aside because slices had gone, once all of those have come again."""
    session.flush()
    late = (Instance.series_id == series.id, Instance.reason == Refusal.AFTER_RETENTION)
    if session.scalar(select(Instance.id).where(*late).limit(1)) is None:
        return
    if not is_taken_in_part(session, series.id, back=KEPT):
        used = update(Instance).where(*late, Instance.status == InstanceStatus.NOT_USED)
        session.execute(used.values(status=InstanceStatus.USED, reason=""))
        _reopen_if_closed(session, series, adds_image=False)


def _set_aside_if_late(
    session: Session, series: Series, received: ReceivedInstance, max_instances: int
) -> ReceivedInstance:
    """The record, set aside where its series has enough, or is over."""
    if is_full(session, series.id, max_instances):
        return replace(received, not_used=Refusal.TOO_MANY_INSTANCES.value, header={}, rejection=None)
    if received.not_used is None and _is_past_retention(session, series):
        note(session, series, "late_after_retention", detail={"sop_instance_uid": received.sop_instance_uid})
        return replace(received, not_used=Refusal.AFTER_RETENTION.value)
    return received


def is_full(session: Session, series_id: int, max_instances: int) -> bool:
    """Whether a series has as many instances as it may have."""
    some = select(Instance.id).where(Instance.series_id == series_id).offset(max_instances - 1).limit(1)
    return session.scalar(some) is not None


def _note_first_of_kind(session: Session, series: Series, received: ReceivedInstance) -> None:
    """Note of a series the first instance that is of no use for a reason which lies with its sender."""
    reason = Refusal.UID_MISMATCH.value if received.named_otherwise else received.not_used
    if reason not in _TOLD:
        return
    told = select(Event.id).where(Event.series_uid == series.series_uid, Event.name == reason)
    if session.scalar(told.where(Event.study_uid == series.study_uid).limit(1)) is None:
        named = {"sop_instance_uid": received.sop_instance_uid, "sop_class_uid": received.sop_class_uid}
        others = {f"data_set_{keyword}": uid[:_MAX_TOLD] for keyword, uid in received.named_otherwise.items()}
        note(session, series, reason, detail={**named, **others})


def _note_other_bytes(session: Session, series: Series, received: ReceivedInstance) -> None:
    session.add(
        Event(
            at=time.time(),
            subject="instance",
            name="other_bytes",
            study_uid=series.study_uid,
            series_uid=series.series_uid,
            detail={"sop_instance_uid": received.sop_instance_uid, "digest": received.digest},
        )
    )

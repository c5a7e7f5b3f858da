"""Received files as rows, many in one transaction, before C-STORE says Success for any of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from dicomnode.errors import Refusal
from dicomnode.records import ReceivedInstance
from dicomnode.store.receive.late import reopen_if_closed, revive, set_aside_if_late, status, take_up_if_whole
from dicomnode.store.receive.receptions import Indexed
from dicomnode.store.receive.rejected_images import apply_rejection, lock_rejected
from dicomnode.store.receive.series_now import Arrived, SeriesNow, key_of, lock_known, locked_series, met_already
from dicomnode.store.states import InstanceStatus, SeriesStatus
from dicomnode.store.tables import Base, Event, Instance, Series
from dicomnode.store.transitions import note

_TOLD = (Refusal.UID_MISMATCH, Refusal.HEADER_TOO_LARGE, Refusal.TOO_MANY_INSTANCES, Refusal.UNREADABLE)
"""Reasons that an event tells, once for a series."""
_MAX_TOLD = 128
"""Characters of a UID, which may be none."""

ASSOCIATION, INSTANCE, SERIES = (Base.metadata.tables[name] for name in ("association", "instance", "series"))
# Run without the mapper: no object is wanted, and it runs for every image.
_COUNT_ASSOCIATION = (
    update(ASSOCIATION)
    .where(ASSOCIATION.c.id == bindparam("association"))
    .values(instances=ASSOCIATION.c.instances + bindparam("more"), last_seen_at=bindparam("now"))
)
_COUNT_SERIES = (
    update(SERIES)
    .where(SERIES.c.id == bindparam("series"))
    .values(instances=bindparam("now_has"), last_instance_at=bindparam("now"), due_at=bindparam("due"))
)
_ADD_INSTANCE = insert(INSTANCE)


def index_instances(
    session: Session, arrived: Sequence[Arrived], *, settle_s: float, max_instances: int
) -> list[Indexed]:
    """Write the rows of some files; a late one reopens its series and supersedes the series' jobs.

    Beyond ``max_instances`` of a series a file is kept, and nothing of its header.

    The same SOP instance with the same bytes changes nothing but the association that brought it last, so that a
    sender which starts over after a broken association is seen to have sent the whole series.
    """
    now = time.time()
    for one in arrived:
        if one.received.rejection is not None:
            lock_rejected(session, one.received.rejection)
    series = locked_series(session, arrived, now)
    _count(session, arrived, now)
    met = met_already(session, arrived, series)
    lock_known(session, series, met["known"])
    times = Counter(one.received.sop_instance_uid for one in arrived)
    indexed: list[Indexed] = []
    plain: list[dict[str, Any]] = []
    for one in (replace(one, received=_set_aside(one.received, met["result"], met["rejected"])) for one in arrived):
        into = series[key_of(one.received)]
        if times[one.received.sop_instance_uid] == 1 and _is_plain(one.received, into, max_instances):
            plain.append(_plain(one, into, now, settle_s))
            indexed.append(Indexed.NEW)
        else:
            _insert(session, plain, series.values())
            indexed.append(_index(session, one, into, now, settle_s, max_instances))
    _insert(session, plain, series.values())
    return indexed


def _is_plain(received: ReceivedInstance, series: SeriesNow, max_instances: int) -> bool:
    """Whether it is a further image of a series that is being received, and nothing else is to be done about it."""
    is_odd = received.not_used is not None or received.rejection is not None or bool(received.named_otherwise)
    is_open = series.row.status == SeriesStatus.RECEIVING and series.row.instances < max_instances
    return is_open and not is_odd and not series.known.get(received.sop_instance_uid)


def _plain(one: Arrived, series: SeriesNow, now: float, settle_s: float) -> dict[str, Any]:
    """The row of a plain image, which its series takes note of."""
    values = {"last_instance_at": now, "due_at": now + settle_s, "instances": series.row.instances + 1}
    for name, value in values.items():
        # Written with the rows of the images: the mapper takes as long for it as for all else of an image.
        set_committed_value(series.row, name, value)
    series.is_counted = False
    return _values(one.received, series.row, one.association_id, now)


def _insert(session: Session, plain: list[dict[str, Any]], series: Collection[SeriesNow]) -> None:
    """Write the rows that were put off, before anything looks at the rows of a series."""
    if not plain:
        return
    session.connection().execute(_ADD_INSTANCE, plain)
    plain.clear()
    for one in series:
        if not one.is_counted:
            row, one.is_counted = one.row, True
            counted = {"series": row.id, "now_has": row.instances, "now": row.last_instance_at, "due": row.due_at}
            session.connection().execute(_COUNT_SERIES, counted)


def _index(
    session: Session, one: Arrived, series: SeriesNow, now: float, settle_s: float, max_instances: int
) -> Indexed:
    received, row = one.received, series.row
    known = series.known.setdefault(received.sop_instance_uid, [])
    same = next((other for other in known if other.digest == received.digest), None)
    if same is not None and same.status == InstanceStatus.PURGED:
        revive(same, received, known, now)
        take_up_if_whole(session, row)
    if same is not None:
        _touch(row, same, one.association_id, now + settle_s)
        return Indexed.DUPLICATE
    received = set_aside_if_late(session, row, received, is_full=row.instances >= max_instances)
    _note_first_of_kind(session, row, received)
    instance = Instance(**_values(received, row, one.association_id, now))
    session.add(instance)
    if received.not_used is None:
        reopen_if_closed(session, row, adds_image=not known)
    elif received.not_used == Refusal.AFTER_RETENTION:
        take_up_if_whole(session, row)
    if received.rejection is not None:
        apply_rejection(session, row, received.rejection, settle_s=settle_s)
    if row.status == SeriesStatus.RECEIVING:
        row.last_instance_at, row.due_at = now, now + settle_s
    is_new = all(other.status == InstanceStatus.PURGED for other in known)
    if not is_new:
        _note_other_bytes(session, row, received)
    known.append(instance)
    row.instances += 1
    return Indexed.NEW if is_new else Indexed.OTHER_BYTES


def _set_aside(received: ReceivedInstance, results: set[str], rejected: set[str]) -> ReceivedInstance:
    if received.not_used != Refusal.OWN_RESULT and received.sop_instance_uid in results:
        return replace(received, not_used=Refusal.OWN_RESULT.value, rejection=None)
    if received.not_used is None and received.sop_instance_uid in rejected:
        return replace(received, not_used=Refusal.REJECTED.value)
    return received


def _values(received: ReceivedInstance, series: Series, association_id: int | None, now: float) -> dict[str, Any]:
    """Columns of the row of a file."""
    return {
        "series_id": series.id,
        "association_id": association_id,
        "sop_instance_uid": received.sop_instance_uid,
        "sop_class_uid": received.sop_class_uid,
        "study_uid": received.study_uid,
        "series_uid": received.series_uid,
        "transfer_syntax_uid": received.transfer_syntax_uid,
        "path": str(received.path),
        "digest": received.digest,
        "size_bytes": received.size_bytes,
        "header": received.header,
        "status": status(received),
        "reason": received.not_used or "",
        "received_at": now,
    }


def _touch(series: Series, row: Instance, association_id: int | None, due_at: float) -> None:
    if association_id is not None:
        row.association_id = association_id
    if series.status == SeriesStatus.RECEIVING:
        series.last_instance_at, series.due_at = time.time(), due_at


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


def _count(session: Session, arrived: Sequence[Arrived], now: float) -> None:
    counts = Counter(one.association_id for one in arrived if one.association_id is not None)
    for association_id, count in sorted(counts.items()):
        session.connection().execute(_COUNT_ASSOCIATION, {"association": association_id, "more": count, "now": now})

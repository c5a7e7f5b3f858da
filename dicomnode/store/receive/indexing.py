"""Received files as rows, many in one transaction, before C-STORE says Success for any of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Integer, bindparam, func, select, tuple_, update
from sqlalchemy.orm import Session

from dicomnode.errors import Refusal
from dicomnode.records import ReceivedInstance
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.locks import lock_instances, lock_series
from dicomnode.store.receive.late import reopen_if_closed, revive, set_aside_if_late, status, take_up_if_whole
from dicomnode.store.receive.receptions import Indexed
from dicomnode.store.receive.rejected_images import apply_rejection, lock_rejected
from dicomnode.store.states import InstanceStatus, SeriesStatus
from dicomnode.store.tables import Association, Event, Instance, RejectedInstance, Result, Series
from dicomnode.store.transitions import note

_TOLD = (Refusal.UID_MISMATCH, Refusal.HEADER_TOO_LARGE, Refusal.TOO_MANY_INSTANCES, Refusal.UNREADABLE)
"""Reasons that an event tells, once for a series."""
_MAX_TOLD = 128
"""Characters of a UID, which may be none."""

# Built once: to build a statement takes as long as to run it, and these run for every image.
_SOME = select(Instance.id).where(Instance.series_id == bindparam("series_id")).limit(bindparam("most", type_=Integer))
_COUNT = select(func.count()).select_from(_SOME.subquery())
_RESULTS = select(Result.sop_instance_uid).where(Result.sop_instance_uid.in_(bindparam("uids", expanding=True)))
_REJECTED = select(RejectedInstance.sop_instance_uid).where(
    RejectedInstance.sop_instance_uid.in_(bindparam("uids", expanding=True))
)
_COUNT_ASSOCIATION = (
    update(Association)
    .where(Association.id == bindparam("association"))
    .values(instances=Association.instances + bindparam("more"), last_seen_at=bindparam("now"))
    .execution_options(synchronize_session=False)
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """One file to be indexed, and who brought it; ``association_id`` is None for what a sweep found."""

    received: ReceivedInstance
    association_id: int | None
    sender_ae: str


@dataclass(slots=True, kw_only=True)
class _SeriesNow:
    """A series, locked, while files of it are indexed.

    Attributes
    ----------
    known : its files by SOP instance, those of this transaction included.
    count : of all its files, at most one more than it may have.
    """

    row: Series
    known: dict[str, list[Instance]]
    count: int


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
    series = _locked_series(session, arrived, now, max_instances)
    _count(session, arrived, now)
    return [
        _index(session, one, _series_of(series, one.received), now, settle_s, max_instances)
        for one in _set_aside_known(session, arrived)
    ]


def _index(
    session: Session, one: Arrived, series: _SeriesNow, now: float, settle_s: float, max_instances: int
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
    received = set_aside_if_late(session, row, received, is_full=series.count >= max_instances)
    _note_first_of_kind(session, row, received)
    instance = _instance(received, row, one.association_id, now)
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
    series.count += 1
    return Indexed.NEW if is_new else Indexed.OTHER_BYTES


def _key(received: ReceivedInstance) -> tuple[str, str]:
    return received.study_uid, received.series_uid


def _series_of(series: dict[tuple[str, str], _SeriesNow], received: ReceivedInstance) -> _SeriesNow:
    return series[_key(received)]


def _locked_series(
    session: Session, arrived: Sequence[Arrived], now: float, max_instances: int
) -> dict[tuple[str, str], _SeriesNow]:
    """The series of some files, made where they are new, and what is known of the same SOP instances; all locked."""
    first = {_key(one.received): one for one in reversed(arrived)}
    rows = _locked_rows(session, first)
    if len(rows) < len(first):
        for key in sorted(first.keys() - rows.keys()):
            _insert_series(session, first[key], now)
        rows = _locked_rows(session, first)
    series = {
        key: _SeriesNow(row=row, known={}, count=_count_up_to(session, row.id, max_instances))
        for key, row in rows.items()
    }
    uids = {one.received.sop_instance_uid for one in arrived}
    ids = [now.row.id for now in series.values()]
    for instance in lock_instances(session, Instance.sop_instance_uid.in_(uids), Instance.series_id.in_(ids)):
        known = series[instance.study_uid, instance.series_uid].known
        known.setdefault(instance.sop_instance_uid, []).append(instance)
    return series


def _locked_rows(session: Session, first: dict[tuple[str, str], Arrived]) -> dict[tuple[str, str], Series]:
    if len(first) == 1:
        ((study_uid, series_uid),) = first
        which: ColumnElement[bool] = (Series.study_uid == study_uid) & (Series.series_uid == series_uid)
    else:
        which = tuple_(Series.study_uid, Series.series_uid).in_(list(first))
    return {(row.study_uid, row.series_uid): row for row in lock_series(session, which)}


def _insert_series(session: Session, one: Arrived, now: float) -> None:
    insert_if_absent(
        session,
        Series,
        study_uid=one.received.study_uid,
        series_uid=one.received.series_uid,
        accession_number=str(one.received.header.get("AccessionNumber") or "")[:64],
        modality=str(one.received.header.get("Modality") or "")[:16],
        sender_ae=one.sender_ae,
        status=SeriesStatus.RECEIVING,
        reopened=0,
        first_instance_at=now,
        last_instance_at=now,
        acquisition_key="",
        refusal="",
        refusal_detail="",
    )


def _count_up_to(session: Session, series_id: int, most: int) -> int:
    return session.scalar(_COUNT, {"series_id": series_id, "most": most}) or 0


def _set_aside_known(session: Session, arrived: Sequence[Arrived]) -> list[Arrived]:
    """The files, set aside where the database knows them as results of this node, or as rejected ones."""
    uids = {"uids": sorted({one.received.sop_instance_uid for one in arrived})}
    results, noted = set(session.scalars(_RESULTS, uids)), set(session.scalars(_REJECTED, uids))
    return [replace(one, received=_set_aside(one.received, results, noted)) for one in arrived]


def _set_aside(received: ReceivedInstance, results: set[str], rejected: set[str]) -> ReceivedInstance:
    if received.not_used != Refusal.OWN_RESULT and received.sop_instance_uid in results:
        return replace(received, not_used=Refusal.OWN_RESULT.value, rejection=None)
    if received.not_used is None and received.sop_instance_uid in rejected:
        return replace(received, not_used=Refusal.REJECTED.value)
    return received


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
        status=status(received),
        reason=received.not_used or "",
        received_at=now,
    )


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
        session.execute(_COUNT_ASSOCIATION, {"association": association_id, "more": count, "now": now})

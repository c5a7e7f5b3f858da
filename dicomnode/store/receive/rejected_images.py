"""Source images that were rejected: they are not used again, and what was made of them is withdrawn (IHE RAD IOCM)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from dicomnode.errors import Refusal
from dicomnode.records import RejectionNote
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.locks import lock_studies
from dicomnode.store.queue.jobs import supersede_jobs_of_series
from dicomnode.store.queue.rejections import hasten_rejections
from dicomnode.store.retention import is_taken_in_part
from dicomnode.store.states import InstanceStatus, SeriesEvent, SeriesStatus
from dicomnode.store.tables import Instance, Job, RejectedInstance, Result, Series
from dicomnode.store.transitions import move, note

_AT_ONCE = 500
"""UIDs in one statement: databases limit their number."""


def rejected_in(session: Session, series: Series) -> set[int]:
    """The files of a series that a note rejected while they were being received: neither transaction saw the other's
    rows.
    """
    return set(session.scalars(select(Instance.id).where(*_rejected_among(series))))


def set_rejected_aside(session: Session, series: Series) -> int:
    """Set aside what :func:`rejected_in` finds; returns how many."""
    aside = update(Instance).where(*_rejected_among(series))
    done = session.execute(aside.values(status=InstanceStatus.NOT_USED, reason=Refusal.REJECTED.value))
    return int(done.rowcount)  # type: ignore[attr-defined]


def _rejected_among(series: Series) -> tuple[ColumnElement[bool], ...]:
    rejected = select(RejectedInstance.sop_instance_uid)
    return (
        Instance.series_id == series.id,
        Instance.reason == "",
        Instance.sop_instance_uid.in_(rejected),
        Instance.status != InstanceStatus.PURGED,
    )


def lock_rejected(session: Session, rejection: RejectionNote) -> None:
    """Lock the studies of the instances that a note names, before anything else is locked."""
    studies: set[str] = set()
    for uids in _portions(rejection.instances):
        studies |= set(session.scalars(select(Instance.study_uid).where(Instance.sop_instance_uid.in_(uids))))
    lock_studies(session, studies)


def apply_rejection(session: Session, key_objects: Series, rejection: RejectionNote, *, settle_s: float) -> None:
    """Set the named instances aside, withdraw what was made of them, and look at what is left of their series.

    Parameters
    ----------
    key_objects : the series that the note came in; :func:`lock_rejected` was called.
    settle_s : how long until the assembler looks at what is left.
    """
    _remember(session, rejection)
    slices = [row for uids in _portions(rejection.instances) for row in _slices(session, uids)]
    results = [row for uids in _portions(rejection.instances) for row in _results(session, uids)]
    detail = {"code": rejection.code, "meaning": rejection.meaning, "named": len(rejection.instances)}
    note(session, key_objects, "rejection_note", detail={**detail, "known": len(slices) + len(results)})
    _note_rejected_results(session, rejection, results)
    by_series = Counter(row.series_id for row in slices)
    for row in slices:
        row.reason = Refusal.REJECTED
        row.status = row.status if row.status == InstanceStatus.PURGED else InstanceStatus.NOT_USED
    session.flush()
    for series_id, count in sorted(by_series.items()):
        _withdraw(session, session.get_one(Series, series_id), rejection, count, settle_s)


def _portions(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uids), _AT_ONCE):
        yield uids[start : start + _AT_ONCE]


def _remember(session: Session, rejection: RejectionNote) -> None:
    for uid in rejection.instances:
        insert_if_absent(
            session,
            RejectedInstance,
            sop_instance_uid=uid,
            code=rejection.code,
            note_uid=rejection.sop_instance_uid,
            received_at=time.time(),
        )


def _slices(session: Session, uids: Sequence[str]) -> Iterable[Instance]:
    """Files of these instances that were slices: what was set aside for another reason made no result."""
    statement = select(Instance).where(Instance.sop_instance_uid.in_(uids), Instance.reason == "")
    return session.scalars(statement.order_by(Instance.id)).all()


def _results(session: Session, uids: Sequence[str]) -> Iterable[Result]:
    return session.scalars(select(Result).where(Result.sop_instance_uid.in_(uids)).order_by(Result.id)).all()


def _note_rejected_results(session: Session, rejection: RejectionNote, results: Sequence[Result]) -> None:
    """Note that somebody rejected results of this node where they are stored; nothing else follows."""
    for job_id, count in sorted(Counter(row.job_id for row in results).items()):
        detail = {"code": rejection.code, "meaning": rejection.meaning, "results": count}
        note(session, session.get_one(Job, job_id), "results_rejected", detail=detail)


def _withdraw(session: Session, series: Series, rejection: RejectionNote, count: int, settle_s: float) -> None:
    detail = {"code": rejection.code, "meaning": rejection.meaning, "instances": count}
    note(session, series, "rejected", detail={**detail, "note": rejection.sop_instance_uid})
    hasten_rejections(session, series)
    supersede_jobs_of_series(session, series, reason=f"source images: {rejection.meaning}", at_once=True)
    passed_over = select(Series).where(
        Series.study_uid == series.study_uid,
        Series.acquisition_key == series.acquisition_key,
        Series.acquisition_key != "",
        Series.status == SeriesStatus.NOT_CHOSEN,
    )
    others = session.scalars(passed_over.order_by(Series.id)).all()
    due_at = time.time() + settle_s
    _look_again(session, series, due_at=due_at)
    for other in others:
        if other is not series and not is_taken_in_part(session, other.id):
            move(session, other, SeriesEvent.REOPEN, refusal="", refusal_detail="", due_at=due_at)


def _look_again(session: Session, series: Series, *, due_at: float) -> None:
    """Weigh anew what is left of a series; where nothing is, or retention has taken a part of it, it is refused."""
    if series.status != SeriesStatus.RECEIVING:
        move(session, series, SeriesEvent.REOPEN, refusal="", refusal_detail="", due_at=due_at)
    series.due_at = due_at
    left = select(Instance.id).where(
        Instance.series_id == series.id, Instance.status != InstanceStatus.PURGED, Instance.reason == ""
    )
    if session.scalar(left.limit(1)) is None:
        _refuse(session, series, "all images")
    elif is_taken_in_part(session, series.id):
        _refuse(session, series, "the others are no longer kept")


def _refuse(session: Session, series: Series, seen: str) -> None:
    detail = {"refusal": Refusal.REJECTED.value, "detail": seen}
    move(
        session,
        series,
        SeriesEvent.REFUSE,
        detail=detail,
        refusal=Refusal.REJECTED.value,
        refusal_detail=seen,
        due_at=None,
    )

"""What may be deleted: images whose job is finished and whose retention is over, and what was never used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, or_, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from dicomnode.store.among import among
from dicomnode.store.locks import lock_instances, lock_series
from dicomnode.store.states import JOB_OPEN, InstanceStatus, OutboxStatus, SeriesStatus
from dicomnode.store.tables import NOT_PURGED, SET_ASIDE, Instance, Job, Outbox, Result, Series


@dataclass(frozen=True, slots=True)
class Limits:
    """Moments before which a file must have come, in seconds since the epoch: one that was used, one that was not."""

    used_before: float
    unused_before: float


@dataclass(frozen=True, slots=True)
class Expired:
    """A received file that may go."""

    instance_id: int
    path: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk through received files is, in the order in which they came."""

    received_at: float = float("-inf")
    instance_id: int = 0


BEGINNING = Place()


def expired_series(
    session: Session, limits: Limits, *, unused: bool, after: Place = BEGINNING, files: int = 200
) -> tuple[Sequence[int], Place | None]:
    """One step through the files that are old enough, by an index that holds no other.

    Parameters
    ----------
    unused : those that were never used, else all that are kept.
    files : how many are looked at.

    Returns
    -------
    Ids of the series among them that hold files whose retention is over; and where to go on, None at the end.
    """
    place = tuple_(Instance.received_at, Instance.id)
    old = Instance.received_at < (limits.unused_before if unused else limits.used_before)
    further = place > tuple_(after.received_at, after.instance_id)
    page = select(Instance.received_at, Instance.id).where(SET_ASIDE if unused else NOT_PURGED, old, further)
    seen = session.execute(page.order_by(Instance.received_at, Instance.id).limit(files)).all()
    found = select(Instance.series_id).where(among(Instance.id, [row.id for row in seen]), _is_expired(limits))
    series_ids = session.scalars(found.distinct()).all() if seen else []
    return series_ids, Place(*seen[-1]) if len(seen) == files else None


def lock_expired(session: Session, series_id: int, limits: Limits, limit: int = 200) -> list[Expired]:
    """Files of a series whose retention is over, locked until the transaction ends.

    Never those of a series that is being received or whose job is still open. The series is
    locked, too, so that neither a late image nor the same file sent again comes between.
    """
    lock_series(session, Series.id == series_id)
    rows = lock_instances(session, Instance.series_id == series_id, _is_expired(limits), limit=limit)
    return [Expired(row.id, row.path) for row in rows]


def _is_expired(limits: Limits) -> ColumnElement[bool]:
    busy = exists().where(Job.series_id == Instance.series_id, Job.status.in_(JOB_OPEN))
    closed = exists().where(
        Series.id == Instance.series_id,
        Series.status != SeriesStatus.RECEIVING,
        Series.last_instance_at < limits.used_before,
    )
    unused = Instance.status == InstanceStatus.NOT_USED
    return and_(
        Instance.status != InstanceStatus.PURGED,
        or_(
            and_(unused, Instance.received_at < limits.unused_before),
            and_(Instance.received_at < limits.used_before, closed, ~busy),
        ),
    )


IN_USE = (InstanceStatus.USED,)
KEPT = tuple(status for status in InstanceStatus if status is not InstanceStatus.PURGED)
"""Also that of a slice which came again and was set aside because others had gone."""


def is_taken_in_part(session: Session, series_id: int, *, back: Sequence[InstanceStatus] = IN_USE) -> bool:
    """Whether retention has taken slices of a series that did not come again: what is left is never run as a series.

    Parameters
    ----------
    back : statuses of a file of the same SOP instance that makes up for one that was taken.
    """
    again = aliased(Instance)
    came_again = exists().where(
        again.series_id == series_id,
        again.sop_instance_uid == Instance.sop_instance_uid,
        again.status.in_(back),
    )
    # what was set aside keeps its reason when it is taken, and was no slice
    taken = (Instance.series_id == series_id, Instance.status == InstanceStatus.PURGED, Instance.reason == "")
    return session.scalar(select(Instance.id).where(*taken, ~came_again).limit(1)) is not None


def mark_purged(session: Session, expired: Sequence[Expired]) -> None:
    """The files are gone; the rows stay as history."""
    gone = Instance.id.in_([item.instance_id for item in expired])
    session.execute(update(Instance).where(gone).values(status=InstanceStatus.PURGED))


def finished_jobs(session: Session, jobs: Collection[int], *, before: float) -> set[int]:
    """Those of these jobs whose files may go: finished before a moment, with nothing left in the outbox."""
    waiting = (OutboxStatus.PENDING, OutboxStatus.SENDING, OutboxStatus.HELD)
    unsent = exists().where(Outbox.job_id == Job.id, Outbox.status.in_(waiting))
    statement = select(Job.id).where(Job.finished_at < before, Job.status.not_in(JOB_OPEN), ~unsent)
    some = (statement.where(among(Job.id, ids)) for ids in _portions(jobs))
    return {job_id for one in some for job_id in session.scalars(one)}


def paths_of_kind(session: Session, jobs: Collection[int], kind: str) -> dict[int, list[str]]:
    """Files of the results of one kind, below the data folder, by the id of their job."""
    found = defaultdict(list)
    for ids in _portions(jobs):
        some = Result.job_id.in_(ids)
        for job_id, path in session.execute(select(Result.job_id, Result.path).where(some, Result.kind == kind)):
            found[job_id].append(path)
    return found


_AT_ONCE = 1000
"""Ids in one statement: databases allow no more than some thousand."""


def _portions(ids: Collection[int]) -> Iterator[Sequence[int]]:
    every = sorted(ids)
    return (every[begin : begin + _AT_ONCE] for begin in range(0, len(every), _AT_ONCE))

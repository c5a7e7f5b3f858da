"""What assembly reads and writes: due series, their images, who feeds them, and which reconstruction a job runs on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from dicomnode.records import Header
from dicomnode.store.locks import lock_studies
from dicomnode.store.queue.jobs import active_job, create_job, supersede_job
from dicomnode.store.receive.receptions import OPEN, RELEASED
from dicomnode.store.states import InstanceStatus, JobTask, SeriesEvent, SeriesStatus
from dicomnode.store.tables import Association, Instance, Job, Series
from dicomnode.store.transitions import move, note

COUNTED = (InstanceStatus.USED, InstanceStatus.OLDER, InstanceStatus.CONFLICT)


ADDS_LATE_MEMORY_S = 7 * 86_400.0
"""A sender that added an image late is waited for this long: one mishap must not slow it down for ever."""


@dataclass(frozen=True, slots=True)
class Feeding:
    """Who brings a series. Times are seconds since the epoch.

    Attributes
    ----------
    open_associations : still open, and heard of within the idle limit.
    released_at : when the last association that fed it ended by release; None when it did not.
    broken_at : when the last association that fed it was aborted, or found lost at a restart, else None. Quiet
        time counts from there: a sender that was cut off needs a moment to begin again.
    images_in_association : the most images of the series that came in one association.
    sender_adds_late : a series of this sender was reopened by a late image within the last week.
    """

    open_associations: int
    released_at: float | None
    broken_at: float | None
    images_in_association: int
    sender_adds_late: bool


def due_series(session: Session, now: float, limit: int = 50) -> Sequence[int]:
    """Ids of the receiving series to look at, longest due first."""
    statement = (
        select(Series.id)
        .where(Series.due_at <= now, Series.status == SeriesStatus.RECEIVING)
        .order_by(Series.due_at)
        .limit(limit)
    )
    return session.scalars(statement).all()


def locked_series(session: Session, series_id: int) -> Series:
    """The series, together with a lock on its study: reconstructions of one study are weighed one at a time."""
    series = session.get_one(Series, series_id)
    lock_studies(session, [series.study_uid])
    return series


def instances_of(session: Session, series_id: int) -> Sequence[Instance]:
    """All files of a series that were not purged, oldest first."""
    statement = (
        select(Instance)
        .where(Instance.series_id == series_id, Instance.status != InstanceStatus.PURGED)
        .order_by(Instance.received_at, Instance.id)
    )
    return session.scalars(statement).all()


@dataclass(frozen=True, slots=True)
class Counted:
    """A file that is a slice, or may be one; without its header."""

    id: int
    sop_instance_uid: str
    pixel_digest: str
    path: str


def counted_of(session: Session, series_id: int) -> list[Counted]:
    """The slices of a series, and what may be one, oldest first."""
    columns = (Instance.id, Instance.sop_instance_uid, Instance.pixel_digest, Instance.path)
    statement = select(*columns).where(Instance.series_id == series_id, Instance.status.in_(COUNTED))
    return [Counted(*row) for row in session.execute(statement.order_by(Instance.received_at, Instance.id))]


def headers_of(session: Session, series: Series) -> list[Header]:
    """Headers of the slices in use, oldest first."""
    statement = select(Instance.header).where(Instance.series_id == series.id)
    used = statement.where(Instance.status == InstanceStatus.USED)
    return list(session.scalars(used.order_by(Instance.received_at, Instance.id)))


def has_reason(session: Session, series: Series, reason: str) -> bool:
    """Whether any file of a series was set aside for this reason."""
    return bool(session.scalar(select(exists().where(Instance.series_id == series.id, Instance.reason == reason))))


def feeding_of(session: Session, series: Series, *, stale_before: float) -> Feeding:
    """Who feeds a series; an open association not heard of since ``stale_before`` is taken for dead."""
    feeders = session.scalars(
        select(Association)
        .where(exists().where(Instance.association_id == Association.id, Instance.series_id == series.id))
        .order_by(Association.ended_at)
    ).all()
    still_open = [row for row in feeders if row.outcome == OPEN and row.last_seen_at >= stale_before]
    ended = [row for row in feeders if row.ended_at is not None]
    last = ended[-1] if ended else None
    return Feeding(
        open_associations=len(still_open),
        released_at=last.ended_at if last is not None and last.outcome == RELEASED else None,
        broken_at=last.ended_at if last is not None and last.outcome != RELEASED else None,
        images_in_association=_most_in_one_association(session, series),
        sender_adds_late=_sender_adds_late(session, series),
    )


def _most_in_one_association(session: Session, series: Series) -> int:
    counts = (
        select(func.count().label("images"))
        .where(Instance.series_id == series.id, Instance.association_id.is_not(None))
        .group_by(Instance.association_id)
        .subquery()
    )
    return session.scalar(select(func.max(counts.c.images))) or 0


def _sender_adds_late(session: Session, series: Series) -> bool:
    recently = Series.last_instance_at > time.time() - ADDS_LATE_MEMORY_S
    statement = select(exists().where(Series.sender_ae == series.sender_ae, Series.reopened > 0, recently))
    return series.sender_ae != "" and bool(session.scalar(statement))


def set_pixel_digests(session: Session, digests: dict[int, str]) -> None:
    """Remember the decoded-pixel digests of files that share a SOP instance UID."""
    for instance_id, digest in digests.items():
        session.execute(update(Instance).where(Instance.id == instance_id).values(pixel_digest=digest))


def set_instance_statuses(session: Session, statuses: dict[int, InstanceStatus]) -> None:
    """Say which of several files of one SOP instance counts."""
    for instance_id, status in statuses.items():
        session.execute(update(Instance).where(Instance.id == instance_id).values(status=status))


def wait_for(session: Session, series: Series, until: float) -> None:
    """Look at the series again at ``until``."""
    series.due_at = until


def refuse_series(session: Session, series: Series, *, refusal: str, detail: str) -> None:
    """Refuse a series for a coded reason: it is not processed."""
    move(
        session,
        series,
        SeriesEvent.REFUSE,
        detail={"refusal": refusal, "detail": detail},
        refusal=refusal,
        refusal_detail=detail,
        due_at=None,
        not_performed_due_at=time.time(),
    )


def set_series_aside(session: Session, series: Series, *, refusal: str) -> None:
    """Mark a series in which nothing is a CT slice: it is kept as bytes and not used."""
    move(
        session,
        series,
        SeriesEvent.SET_ASIDE,
        detail={"refusal": refusal},
        refusal=refusal,
        due_at=None,
        not_performed_due_at=time.time(),
    )


def other_series_of_study(session: Session, series: Series) -> Sequence[Series]:
    """Series of the same study that were complete already and belong to an acquisition, oldest first."""
    statement = select(Series).where(
        Series.study_uid == series.study_uid,
        Series.id != series.id,
        Series.acquisition_key != "",
        Series.status.in_((SeriesStatus.CHOSEN, SeriesStatus.NOT_CHOSEN)),
    )
    return session.scalars(statement.order_by(Series.id)).all()


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job to be created for a series, by a protocol that matches it."""

    protocol: str
    models: tuple[str, ...]
    priority: str
    wait_s: float


def competing_series(session: Session, series: Series, protocol: str) -> Series | None:
    """The series that an active job of this acquisition and protocol runs on; None when there is no such job."""
    job = active_job(session, series.study_uid, series.acquisition_key, protocol)
    return None if job is None else session.get_one(Series, job.series_id)


def choose_series(session: Session, series: Series, planned: Iterable[PlannedJob], *, reason: str) -> None:
    """Create the planned jobs of a series; jobs on a worse reconstruction of the same acquisition are superseded."""
    for job in planned:
        rival = active_job(session, series.study_uid, series.acquisition_key, job.protocol)
        if rival is not None:
            supersede_job(session, rival, reason="a better reconstruction came")
            _pass_over_if_idle(session, session.get_one(Series, rival.series_id), better=series)
        create_job(session, series, protocol=job.protocol, models=job.models, priority=job.priority, wait_s=job.wait_s)
    move(session, series, SeriesEvent.CHOOSE, detail={"reason": reason}, due_at=None)


def _pass_over_if_idle(session: Session, series: Series, *, better: Series) -> None:
    active = (Job.task == JobTask.ANALYSIS, Job.status.not_in(("superseded", "cancelled")))
    jobs = select(exists().where(Job.series_id == series.id, *active))
    if series.status == SeriesStatus.CHOSEN and not session.scalar(jobs):
        move(session, series, SeriesEvent.PASS_OVER, detail={"better": better.series_uid})


def pass_over_series(session: Session, series: Series, *, better: str) -> None:
    """Pass a series over: another reconstruction of the same acquisition is better."""
    move(session, series, SeriesEvent.PASS_OVER, detail={"better": better}, due_at=None)


def note_decision(session: Session, series: Series, why: str) -> None:
    """Note why a series was taken for complete."""
    note(session, series, "complete", detail={"why": why})

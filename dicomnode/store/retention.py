"""What may be deleted: images whose job is finished and whose retention is over, and what was never used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session

from dicomnode.store.states import JOB_OPEN, InstanceStatus, OutboxStatus, SeriesStatus
from dicomnode.store.tables import Instance, Job, Outbox, Series


@dataclass(frozen=True, slots=True)
class Expired:
    """A received file that may go."""

    instance_id: int
    path: str


def expired_instances(session: Session, *, used_before: float, unused_before: float, limit: int = 500) -> list[Expired]:
    """Files whose retention is over, never those of a series that is being received or whose job is still open."""
    busy = exists().where(Job.series_id == Instance.series_id, Job.status.in_(JOB_OPEN))
    closed = exists().where(
        Series.id == Instance.series_id,
        Series.status != SeriesStatus.RECEIVING,
        Series.last_instance_at < used_before,
    )
    unused = Instance.status == InstanceStatus.NOT_USED
    statement = (
        select(Instance.id, Instance.path)
        .where(
            Instance.status != InstanceStatus.PURGED,
            or_(
                and_(unused, Instance.received_at < unused_before),
                and_(Instance.received_at < used_before, closed, ~busy),
            ),
        )
        .limit(limit)
    )
    return [Expired(row.id, row.path) for row in session.execute(statement)]


def mark_purged(session: Session, expired: Sequence[Expired]) -> None:
    """The files are gone; the rows stay as history."""
    ids = [item.instance_id for item in expired]
    for instance in session.scalars(select(Instance).where(Instance.id.in_(ids))):
        instance.status = InstanceStatus.PURGED


def finished_jobs(session: Session, *, before: float) -> Sequence[int]:
    """Jobs whose work folder may go: finished long ago, with nothing left in the outbox."""
    unsent = exists().where(Outbox.job_id == Job.id, Outbox.status.in_((OutboxStatus.PENDING, OutboxStatus.SENDING)))
    statement = select(Job.id).where(Job.finished_at < before, Job.status.not_in(JOB_OPEN), ~unsent)
    return session.scalars(statement).all()

"""Row locks, in the one order in which every transaction takes them: series, instances, jobs, deliveries, commitments.

Two transactions that lock the same rows in different orders wait for each other: PostgreSQL then ends one of them.
So whoever needs rows of several tables locks them in the order of the functions here, and rows of one table by id.
Queues that several workers empty pass over locked rows (``skip_locked``) instead: who waits for nothing needs no order.

A locked row is read anew: what another transaction did to it before is seen. SQLite has no row locks; there a writing
transaction is alone from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, bindparam, select, tuple_
from sqlalchemy.orm import Session

from dicomnode.store.tables import Base, Commitment, Instance, Job, Outbox, Series

Row = TypeVar("Row", bound=Base)
Condition = ColumnElement[bool]


# Built once: to build a statement takes as long as to run it, and these run for every image.
_ONE_SERIES = (
    select(Series)
    .where(Series.study_uid == bindparam("study_uid"), Series.series_uid == bindparam("series_uid"))
    .order_by(Series.id)
    .with_for_update()
)
_SOME_SERIES = (
    select(Series)
    .where(tuple_(Series.study_uid, Series.series_uid).in_(bindparam("uids", expanding=True)))
    .order_by(Series.id)
    .with_for_update()
)
_ANEW = {"populate_existing": True}


def lock_series_of(session: Session, uids: Sequence[tuple[str, str]]) -> Sequence[Series]:
    """The series with these Study and Series Instance UIDs, as far as they are there."""
    if len(uids) > 1:
        return session.scalars(_SOME_SERIES, {"uids": uids}, execution_options=_ANEW).all()
    ((study_uid, series_uid),) = uids
    of_one = {"study_uid": study_uid, "series_uid": series_uid}
    return session.scalars(_ONE_SERIES, of_one, execution_options=_ANEW).all()


def lock_series(session: Session, *where: Condition) -> Sequence[Series]:
    """The series that fulfil all conditions."""
    return _locked(session, Series, where)


def lock_studies(session: Session, study_uids: Iterable[str]) -> Sequence[Series]:
    """All series of some studies: reconstructions of one study are weighed one at a time."""
    return lock_series(session, Series.study_uid.in_(set(study_uids)))


def lock_instances(session: Session, *where: Condition, limit: int | None = None) -> Sequence[Instance]:
    """The received files that fulfil all conditions; at most ``limit``."""
    return _locked(session, Instance, where, limit)


def lock_jobs(session: Session, *where: Condition) -> Sequence[Job]:
    """The jobs that fulfil all conditions."""
    return _locked(session, Job, where)


def lock_job(session: Session, job_id: int) -> Job:
    """One job, which exists."""
    (job,) = lock_jobs(session, Job.id == job_id)
    return job


def lock_deliveries(session: Session, *where: Condition) -> Sequence[Outbox]:
    """The rows of the outbox that fulfil all conditions."""
    return _locked(session, Outbox, where)


def lock_delivery(session: Session, outbox_id: int) -> Outbox:
    """One row of the outbox, which exists."""
    (row,) = lock_deliveries(session, Outbox.id == outbox_id)
    return row


def lock_job_and_delivery(session: Session, job_id: int, outbox_id: int) -> tuple[Job, Outbox]:
    """A job and one row of the outbox, which exist, in one statement."""
    # PostgreSQL locks the rows of a join in the order of its tables: the job's first.
    both = select(Job, Outbox).join(Outbox, Outbox.id == outbox_id).where(Job.id == job_id).with_for_update()
    job, row = session.execute(both, execution_options=_ANEW).one()
    return job, row


def lock_commitments(session: Session, *where: Condition) -> Sequence[Commitment]:
    """The transactions of storage commitment that fulfil all conditions."""
    return _locked(session, Commitment, where)


def _locked(session: Session, table: type[Row], where: Sequence[Condition], limit: int | None = None) -> Sequence[Row]:
    statement = select(table).where(*where).order_by(table.id).limit(limit).with_for_update()
    return session.scalars(statement, execution_options=_ANEW).all()

"""Results that are held for a destination, and the destinations there are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicomnode.store.states import OutboxStatus
from dicomnode.store.tables import Job, Outbox, RefusedClass


def destinations_known(session: Session) -> set[str]:
    """Destinations that results were for, or that refuse a class, whether they are still configured or not."""
    named = (select(Outbox.destination).distinct(), select(RefusedClass.destination).distinct())
    return {name for statement in named for name in session.scalars(statement)}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLine:
    """Results of a job that are held for a destination: it says another identity, or does not show what it took."""

    job_id: int
    destination: str
    accession_number: str
    study_uid: str
    count: int
    identity: str
    reason: str


def list_held(session: Session) -> list[HeldLine]:
    """Held results, by job and destination, oldest job first."""
    columns = (Job.id, Outbox.destination, Job.accession_number, Job.study_uid)
    statement = (
        select(*columns, func.count(), func.max(Outbox.identity), func.max(Outbox.error))
        .join(Job, Job.id == Outbox.job_id)
        .where(Outbox.status == OutboxStatus.HELD)
        .group_by(*columns)
        .order_by(Job.id, Outbox.destination)
    )
    return [
        HeldLine(
            job_id=job_id,
            destination=destination,
            accession_number=accession_number,
            study_uid=study_uid,
            count=count,
            identity=identity,
            reason=reason,
        )
        for job_id, destination, accession_number, study_uid, count, identity, reason in session.execute(statement)
    ]

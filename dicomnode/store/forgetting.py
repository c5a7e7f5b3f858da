"""The end of history: rows of studies of which no file is left and nothing is under way."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.orm import Session

from dicomnode.store.deliver.results import underway
from dicomnode.store.engine import Store
from dicomnode.store.locks import lock_studies
from dicomnode.store.states import JOB_OPEN, InstanceStatus, SeriesStatus
from dicomnode.store.steps import delete_in_steps
from dicomnode.store.tables import (
    Association,
    Commitment,
    Comparison,
    Event,
    Instance,
    Job,
    LaterSearch,
    Outbox,
    PriorSearch,
    ReadReport,
    Result,
    Run,
    Series,
    StudyPatient,
)


def forgettable_studies(session: Session, before: float) -> Sequence[str]:
    """UIDs of the studies that came, and ended, before a moment (seconds since the epoch)."""
    return session.scalars(
        select(Series.study_uid).where(Series.last_instance_at < before).distinct().where(~_stays(before))
    ).all()


def _stays(before: float) -> ColumnElement[bool]:
    """Condition on a series: something of its study is younger, still there, or under way."""
    study = Series.study_uid
    other = Series.__table__.alias()
    young = (other.c.last_instance_at >= before) | (other.c.status == SeriesStatus.RECEIVING)
    kept = (Instance.status != InstanceStatus.PURGED) | (Instance.received_at >= before)
    open_job = Job.status.in_(JOB_OPEN) | (Job.finished_at >= before)
    unsent = exists().where(Job.study_uid == study, Outbox.job_id == Job.id, underway())
    return or_(
        select(other.c.id).where(other.c.study_uid == study, young).exists(),
        exists().where(Instance.study_uid == study, kept),
        exists().where(Job.study_uid == study, open_job),
        unsent,
    )


def forget_study(session: Session, study_uid: str, before: float) -> bool:
    """Delete all rows of a study; False where something has come of it meanwhile.

    What others told not to use is remembered for ever (``rejected_instance``).
    """
    lock_studies(session, [study_uid])
    if session.scalar(select(Series.id).where(Series.study_uid == study_uid, _stays(before)).limit(1)) is not None:
        return False
    jobs = select(Job.id).where(Job.study_uid == study_uid)
    instances = select(Instance.id).where(Instance.study_uid == study_uid)
    for statement in (
        delete(Comparison).where(or_(Comparison.job_id.in_(jobs), Comparison.later_job_id.in_(jobs))),
        delete(Outbox).where(Outbox.job_id.in_(jobs)),
        delete(Result).where(Result.job_id.in_(jobs)),
        delete(Run).where(Run.job_id.in_(jobs)),
        delete(Event).where(or_(Event.study_uid == study_uid, Event.job_id.in_(jobs))),
        delete(Job).where(Job.study_uid == study_uid),
        delete(ReadReport).where(ReadReport.instance_id.in_(instances)),
        delete(Instance).where(Instance.study_uid == study_uid),
        delete(Series).where(Series.study_uid == study_uid),
        delete(StudyPatient).where(StudyPatient.study_uid == study_uid),
        delete(PriorSearch).where(PriorSearch.study_uid == study_uid),
        delete(LaterSearch).where(LaterSearch.study_uid == study_uid),
    ):
        session.execute(statement, execution_options={"synchronize_session": False})
    return True


def forget_the_rest(store: Store, before: float) -> int:
    """Delete what belongs to no study: events of operators and disks, associations without images, commitments."""
    fed = exists().where(Instance.association_id == Association.id)
    return (
        delete_in_steps(store, Event, Event.at < before, Event.study_uid == "", Event.job_id.is_(None))
        + delete_in_steps(store, Association, Association.ended_at < before, ~fed)
        + delete_in_steps(store, Commitment, Commitment.concluded_at < before)
    )

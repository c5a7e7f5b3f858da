"""What operators ask: jobs, one job with its runs and deliveries, and everything that happened to an identifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from dicomnode.dicom.uids import names_of
from dicomnode.store.receive.arrivals import Arrival, arrivals_of
from dicomnode.store.states import OutboxStatus, SeriesStatus
from dicomnode.store.tables import Event, Instance, Job, Outbox, Result, Run, Series


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One model of a job."""

    model: str
    status: str
    attempts: int
    crashes: int
    device: str
    digest: str
    seconds: float | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One result on its way to one destination."""

    destination: str
    kind: str
    status: str
    attempts: int
    next_attempt_at: float
    sop_instance_uid: str
    error: str
    proof: str
    proven_by: str
    losses: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One job as operators see it."""

    job_id: int
    status: str
    priority: str
    protocol: str
    generation: int
    accession_number: str
    study_uid: str
    series_uid: str
    created_at: float
    finished_at: float | None
    attempts: int
    refusal: str
    error: str
    held: int = 0
    task: str = "analysis"
    runs: list[RunLine] = field(default_factory=list)
    deliveries: list[DeliveryLine] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The job as plain values, for ``--json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLine:
    """One series that has no job of its own: refused, not chosen, set aside, or still being received."""

    series_uid: str
    study_uid: str
    accession_number: str
    modality: str
    status: str
    refusal: str
    detail: str
    last_instance_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One row of the history."""

    at: float
    subject: str
    subject_id: int | None
    name: str
    before: str
    after: str
    series_uid: str
    job_id: int | None
    detail: dict[str, Any]


def list_jobs(session: Session, *, status: str = "", limit: int = 50) -> list[JobLine]:
    """The newest jobs first."""
    statement = select(Job, Series.series_uid).join(Series, Job.series_id == Series.id).order_by(Job.id.desc())
    if status:
        statement = statement.where(Job.status == status)
    lines = [_job_line(job, series_uid) for job, series_uid in session.execute(statement.limit(limit))]
    held = _held(session, [line.job_id for line in lines])
    return [replace(line, held=held.get(line.job_id, 0)) for line in lines]


def _held(session: Session, job_ids: Sequence[int]) -> dict[int, int]:
    """Job id -> how many of its results are held."""
    statement = select(Outbox.job_id, func.count()).where(
        Outbox.job_id.in_(job_ids), Outbox.status == OutboxStatus.HELD
    )
    return {job_id: count for job_id, count in session.execute(statement.group_by(Outbox.job_id))}


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


def list_series_without_job(session: Session, *, limit: int = 50) -> list[SeriesLine]:
    """The newest series first that are not chosen for a job, with the reason."""
    statement = (
        select(Series).where(Series.status != SeriesStatus.CHOSEN).order_by(Series.last_instance_at.desc()).limit(limit)
    )
    return [
        SeriesLine(
            series_uid=row.series_uid,
            study_uid=row.study_uid,
            accession_number=row.accession_number,
            modality=row.modality,
            status=row.status,
            refusal=row.refusal,
            detail=row.refusal_detail,
            last_instance_at=row.last_instance_at,
        )
        for row in session.scalars(statement)
    ]


def show_job(session: Session, job_id: int) -> JobLine | None:
    """One job with its runs and deliveries; None when there is no such job."""
    job = session.get(Job, job_id)
    if job is None:
        return None
    line = _job_line(job, session.get_one(Series, job.series_id).series_uid)
    line.runs.extend(_run_line(run) for run in _of(session, Run, job_id))
    deliveries = select(Outbox, Result).join(Result, Outbox.result_id == Result.id).where(Outbox.job_id == job_id)
    for row, result in session.execute(deliveries.order_by(Outbox.id)):
        line.deliveries.append(
            DeliveryLine(
                destination=row.destination,
                kind=result.kind,
                status=row.status,
                attempts=row.attempts,
                next_attempt_at=row.next_attempt_at,
                sop_instance_uid=result.sop_instance_uid,
                error=row.error,
                proof=row.proof,
                proven_by=row.proven_by,
                losses=row.losses,
                identity=row.identity,
            )
        )
    return replace(line, held=sum(delivery.status == OutboxStatus.HELD for delivery in line.deliveries))


def _of(session: Session, table: type[Run], job_id: int) -> Sequence[Run]:
    return session.scalars(select(table).where(table.job_id == job_id).order_by(table.position)).all()


def _job_line(job: Job, series_uid: str) -> JobLine:
    return JobLine(
        job_id=job.id,
        status=job.status,
        priority=job.priority,
        protocol=job.protocol,
        generation=job.generation,
        accession_number=job.accession_number,
        study_uid=job.study_uid,
        series_uid=series_uid,
        created_at=job.created_at,
        finished_at=job.finished_at,
        attempts=job.attempts,
        refusal=job.refusal,
        error=job.error,
        task=job.task,
    )


def _run_line(run: Run) -> RunLine:
    ended = run.started_at is not None and run.finished_at is not None
    seconds = round(run.finished_at - run.started_at, 3) if ended else None  # type: ignore[operator]
    return RunLine(
        model=run.model,
        status=run.status,
        attempts=run.attempts,
        crashes=run.crashes,
        device=run.device,
        digest=run.model_digest,
        seconds=seconds,
        error=run.error,
    )


def events_of(session: Session, identifier: str) -> list[EventLine]:
    """Everything that happened to an accession number, a study, series or SOP instance UID, or a job id, in order.

    It begins with the association that brought the images. A UID that is none is looked for as it was sent, too.
    """
    studies, jobs = _studies_of(session, identifier), _jobs_of(identifier)
    if not studies and not jobs:
        return []
    arrived = arrivals_of(session, studies or session.scalars(select(Job.study_uid).where(Job.id.in_(jobs))).all())
    about = or_(Event.study_uid.in_(studies), Event.job_id.in_([*jobs, *_jobs_of_studies(session, studies)]))
    rows = session.scalars(select(Event).where(about).order_by(Event.at, Event.id))
    events = [
        EventLine(
            at=row.at,
            subject=row.subject,
            subject_id=row.subject_id,
            name=row.name,
            before=row.before,
            after=row.after,
            series_uid=row.series_uid,
            job_id=row.job_id,
            detail=row.detail,
        )
        for row in rows
    ]
    # Sorting keeps the order of what happened at one moment.
    return sorted([*map(_arrival_line, arrived), *events], key=lambda line: line.at) if events or studies else []


def _arrival_line(arrival: Arrival) -> EventLine:
    told = {"calling_ae": arrival.calling_ae, "called_ae": arrival.called_ae, "address": arrival.address}
    seconds = round(arrival.last_at - arrival.opened_at, 3)
    several = {"associations": arrival.associations} if arrival.associations > 1 else {}
    return EventLine(
        at=arrival.opened_at,
        subject="association",
        subject_id=arrival.association_id,
        name="received",
        before="",
        after=arrival.outcome,
        series_uid="",
        job_id=None,
        detail={**told, "images": arrival.images, "seconds": seconds, **several},
    )


def _studies_of(session: Session, identifier: str) -> list[str]:
    names = names_of(identifier)
    by_series = select(Series.study_uid).where(
        or_(
            Series.study_uid.in_(names),
            Series.series_uid.in_(names),
            (Series.accession_number == identifier) & (Series.accession_number != ""),
        )
    )
    by_instance = select(Instance.study_uid).where(Instance.sop_instance_uid.in_(names))
    by_result = select(Result.study_uid).where(
        or_(Result.sop_instance_uid == identifier, Result.series_uid == identifier)
    )
    return sorted({uid for statement in (by_series, by_instance, by_result) for uid in session.scalars(statement)})


def _jobs_of(identifier: str) -> list[int]:
    # A job id is short; a UID without dots does not exist, so the two cannot be confused.
    return [int(identifier)] if identifier.isdigit() and len(identifier) < 12 else []


def _jobs_of_studies(session: Session, studies: list[str]) -> Sequence[int]:
    return session.scalars(select(Job.id).where(Job.study_uid.in_(studies))).all()

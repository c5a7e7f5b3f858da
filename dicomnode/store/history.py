"""What operators ask: jobs, one job with its runs and deliveries, and everything that happened to an identifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, or_, select
from sqlalchemy.orm import Session

from dicomnode.decision import Outcome, decision_of
from dicomnode.dicom.uids import names_of
from dicomnode.store.receive.arrivals import Arrival, arrivals_of
from dicomnode.store.states import OutboxStatus, RunStatus, SeriesStatus
from dicomnode.store.tables import SET_ASIDE, Base, Event, Instance, Job, Outbox, RefusedClass, Result, Run, Series


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One model of a job."""

    model: str
    status: str
    attempts: int
    crashes: int
    device: str
    digest: str
    started_at: float | None
    finished_at: float | None
    seconds: float | None
    error: str
    outcomes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One result on its way to one destination."""

    destination: str
    kind: str
    status: str
    attempts: int
    created_at: float
    next_attempt_at: float
    sent_at: float | None
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    size_bytes: int
    error: str
    proof: str
    proven_by: str
    proven_at: float | None
    losses: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One job as operators see it.

    Attributes
    ----------
    decision : the gravest of those of its findings that decide; empty before a model has spoken.
    result : what they come to in words, such as ``positive, 26.9 mL, 1 lesion``.
    outcomes : of each finding, the figures of the results.
    """

    job_id: int
    status: str
    priority: str
    protocol: str
    generation: int
    accession_number: str
    study_uid: str
    series_uid: str
    created_at: float
    ready_at: float
    finished_at: float | None
    attempts: int
    refusal: str
    error: str
    held: int = 0
    task: str = "analysis"
    decision: str = ""
    result: str = ""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    runs: list[RunLine] = field(default_factory=list)
    deliveries: list[DeliveryLine] = field(default_factory=list)


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
    sender_ae: str
    first_instance_at: float
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


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are asked for; empty: all."""

    status: str = ""
    protocol: str = ""
    accession_number: str = ""
    study_uid: str = ""
    job_id: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions of a query."""
        given = (
            (Job.status, self.status),
            (Job.protocol, self.protocol),
            (Job.accession_number, self.accession_number),
            (Job.study_uid, self.study_uid),
        )
        by_id = [] if self.job_id is None else [Job.id == self.job_id]
        return [*by_id, *[column == value for column, value in given if value]]


def _columns(table: type[Base], names: str) -> list[Any]:
    return [getattr(table, name) for name in names.split()]


# As rows: to make objects that follow their rows takes longer than to read them.
_JOBS = select(
    Job.id.label("job_id"),
    *_columns(Job, "status priority protocol generation accession_number study_uid created_at ready_at finished_at"),
    *_columns(Job, "attempts refusal error task"),
    Series.series_uid,
).join(Series, Job.series_id == Series.id)
_RUNS = select(
    Run.model_digest.label("digest"),
    *_columns(Run, "job_id model status attempts crashes device started_at finished_at error outcomes"),
).order_by(Run.position)
_DELIVERIES = select(
    *_columns(Outbox, "job_id destination status attempts created_at next_attempt_at sent_at error proof proven_by"),
    *_columns(Outbox, "proven_at losses identity"),
    *_columns(Result, "kind series_uid sop_class_uid sop_instance_uid size_bytes"),
).join(Result, Outbox.result_id == Result.id)


def list_jobs(session: Session, wanted: JobFilter | None = None, *, limit: int | None = 50) -> list[JobLine]:
    """The newest jobs first, each with its runs and deliveries. ``limit`` None: all."""
    statement = _JOBS.where(*(wanted or JobFilter()).conditions()).order_by(Job.id.desc()).limit(limit)
    lines = [JobLine(**row._mapping) for row in session.execute(statement)]
    by_id = {line.job_id: line for line in lines}
    for some in _portions(by_id):
        for row in session.execute(_RUNS.where(Run.job_id.in_(some))):
            by_id[row.job_id].runs.append(_run_line(row))
        for row in session.execute(_DELIVERIES.where(Outbox.job_id.in_(some)).order_by(Outbox.id)):
            by_id[row.job_id].deliveries.append(DeliveryLine(**_without_job(row)))
    return [_told(replace(line, held=_held(line))) for line in lines]


def _without_job(row: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "job_id"}


def _told(line: JobLine) -> JobLine:
    """The job with what it came to; of several findings each has its name."""
    kept = [outcome for run in line.runs if run.status == RunStatus.SUCCEEDED for outcome in run.outcomes]
    if not kept:
        return line
    outcomes = [Outcome.from_dict(outcome) for outcome in kept]
    words = [outcome.in_words() for outcome in outcomes]
    named = [f"{outcome.finding}: {text}" for outcome, text in zip(outcomes, words, strict=True)]
    return replace(
        line,
        decision=str(decision_of(outcomes) or ""),
        result=words[0] if len(words) == 1 else "; ".join(named),
        outcomes=kept,
    )


def count_jobs(session: Session, wanted: JobFilter | None = None) -> int:
    """How many there are."""
    return session.scalar(select(func.count()).select_from(Job).where(*(wanted or JobFilter()).conditions())) or 0


def _portions(ids: Iterable[int]) -> Iterator[list[int]]:
    """Portions that fit one statement of every database."""
    rest = list(ids)
    for start in range(0, len(rest), 500):
        yield rest[start : start + 500]


def _held(line: JobLine) -> int:
    return sum(delivery.status == OutboxStatus.HELD for delivery in line.deliveries)


def destinations_known(session: Session) -> set[str]:
    """Destinations that results were for, or that refuse a class, whether they are still configured or not."""
    named = (select(Outbox.destination).distinct(), select(RefusedClass.destination).distinct())
    return {name for statement in named for name in session.scalars(statement)}


def protocols_known(session: Session) -> set[str]:
    """Protocols of jobs, whether they are still configured or not."""
    return set(session.scalars(select(Job.protocol).distinct()))


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


def list_series_without_job(session: Session, *, limit: int | None = 50) -> list[SeriesLine]:
    """The newest series first that are not chosen for a job, with the reason."""
    # A statement for each status: in each the index gives the newest, however many there are.
    newest = [row for status in _WITHOUT_JOB for row in session.scalars(_newest_series(status).limit(limit))]
    newest.sort(key=lambda row: row.last_instance_at, reverse=True)
    return [
        SeriesLine(
            series_uid=row.series_uid,
            study_uid=row.study_uid,
            accession_number=row.accession_number,
            modality=row.modality,
            status=row.status,
            refusal=row.refusal,
            detail=row.refusal_detail,
            sender_ae=row.sender_ae,
            first_instance_at=row.first_instance_at,
            last_instance_at=row.last_instance_at,
        )
        for row in newest[:limit]
    ]


_WITHOUT_JOB = tuple(status for status in SeriesStatus if status is not SeriesStatus.CHOSEN)


def _newest_series(status: SeriesStatus) -> Select[Series]:
    return select(Series).where(Series.status == status).order_by(Series.last_instance_at.desc())


def count_series_without_job(session: Session) -> int:
    """How many there are."""
    return session.scalar(select(func.count()).select_from(Series).where(Series.status.in_(_WITHOUT_JOB))) or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Jobs and series without one. ``*_total``: how many there are, of which the newest are listed.

    ``series_without_job``: None where a filter asks for jobs alone.
    """

    jobs_total: int
    jobs: list[JobLine]
    series_without_job_total: int | None
    series_without_job: list[SeriesLine] | None


def list_all(session: Session, wanted: JobFilter, *, limit: int | None) -> Listing:
    """The newest jobs, and where no filter is given the newest series without one."""
    everything = wanted == JobFilter()
    return Listing(
        jobs_total=count_jobs(session, wanted),
        jobs=list_jobs(session, wanted, limit=limit),
        series_without_job_total=count_series_without_job(session) if everything else None,
        series_without_job=list_series_without_job(session, limit=limit) if everything else None,
    )


def show_job(session: Session, job_id: int) -> JobLine | None:
    """One job with its runs and deliveries; None when there is no such job."""
    return next(iter(list_jobs(session, JobFilter(job_id=job_id))), None)


def _run_line(row: Row[Any]) -> RunLine:
    ended = row.started_at is not None and row.finished_at is not None
    return RunLine(**_without_job(row), seconds=round(row.finished_at - row.started_at, 3) if ended else None)


def events_of(session: Session, identifier: str) -> list[EventLine]:
    """Everything that happened to an accession number, a study, series or SOP instance UID, or a job id, in order.

    It begins with the association that brought the images. A UID that is none is looked for as it was sent, too.
    """
    studies, jobs = studies_named(session, identifier), _jobs_of(identifier)
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


def studies_named(session: Session, identifier: str) -> list[str]:
    """Study UIDs by an accession number, or by the UID of a study, a series, an image or a result."""
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
    found = {uid for statement in (by_series, by_instance, by_result) for uid in session.scalars(statement)}
    return sorted(found or set(session.scalars(_by_data_set(identifier))))


def _by_data_set(identifier: str) -> Select[str]:
    """By the UID that an image has in its data set, where the command named another: no column, so it is asked last."""
    stated = Instance.header["SOPInstanceUID"].as_string()
    return select(Instance.study_uid).where(SET_ASIDE, stated == identifier)


def _jobs_of(identifier: str) -> list[int]:
    # A job id is short; a UID without dots does not exist, so the two cannot be confused.
    return [int(identifier)] if identifier.isdigit() and len(identifier) < 12 else []


def _jobs_of_studies(session: Session, studies: list[str]) -> Sequence[int]:
    return session.scalars(select(Job.id).where(Job.study_uid.in_(studies))).all()

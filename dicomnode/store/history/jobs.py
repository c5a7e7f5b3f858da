"""Jobs with their runs and deliveries, and what they came to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.engine import Result as Rows
from sqlalchemy.orm import Session

from dicomnode.decision import Outcome, ScoreOutcome, Told, decision_of
from dicomnode.store.among import among
from dicomnode.store.history.lines import DeliveryLine, JobLine, RunLine
from dicomnode.store.states import OutboxStatus, RunStatus
from dicomnode.store.tables import Base, Job, Outbox, Result, Run, Series


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
    # Of the table, not of the class: a query of attributes goes through the making of objects, row by row.
    return [table.__table__.c[name] for name in names.split()]


# As rows: to make objects that follow their rows takes longer than to read them.
_JOBS = select(
    Job.__table__.c["id"].label("job_id"),
    *_columns(Job, "status priority protocol generation accession_number study_uid created_at ready_at finished_at"),
    *_columns(Job, "attempts refusal error task"),
    *_columns(Series, "series_uid"),
).join_from(Job.__table__, Series.__table__, Job.series_id == Series.id)


# The job comes first: what follows makes a line.
_RUNS = select(
    *_columns(Run, "job_id"),
    Run.__table__.c["model_digest"].label("digest"),
    *_columns(Run, "model status attempts crashes device started_at finished_at error outcomes scores"),
).order_by(*_columns(Run, "position"))


_DELIVERIES = select(
    *_columns(Outbox, "job_id"),
    *_columns(Outbox, "destination status attempts created_at next_attempt_at sent_at error proof proven_by"),
    *_columns(Outbox, "proven_at losses identity"),
    *_columns(Result, "kind series_uid sop_class_uid sop_instance_uid size_bytes"),
).join_from(Outbox.__table__, Result.__table__, Outbox.result_id == Result.id)


_HELD = (
    select(*_columns(Outbox, "job_id"), func.count())
    .where(Outbox.__table__.c.status == OutboxStatus.HELD)
    .group_by(Outbox.__table__.c.job_id)
)


def list_jobs(
    session: Session, wanted: JobFilter | None = None, *, limit: int | None = 50, deliveries: bool = True
) -> list[JobLine]:
    """The newest jobs first, each with its runs and deliveries.

    Parameters
    ----------
    limit : None: all.
    deliveries : False: of these it is told how many are held, and no more; they are by far the most rows.
    """
    statement = _JOBS.where(*(wanted or JobFilter()).conditions()).order_by(Job.id.desc()).limit(limit)
    lines = [JobLine(**row._mapping) for row in session.execute(statement)]
    by_id = {line.job_id: line for line in lines}
    held = dict[int, int]()
    for some in _portions(by_id):
        for job_id, run in _by_job(session.execute(_RUNS.where(among(Run.job_id, some)))):
            by_id[job_id].runs.append(_run_line(run))
        held.update(_added(session, by_id, some) if deliveries else _counted(session, some))
    return [_told(line, held.get(line.job_id, 0)) for line in lines]


def _added(session: Session, by_id: Mapping[int, JobLine], some: Collection[int]) -> Mapping[int, int]:
    """How many deliveries of each job are held; all are put into its line."""
    rows = session.execute(_DELIVERIES.where(among(Outbox.job_id, some)).order_by(Outbox.id))
    for job_id, delivery in _by_job(rows):
        by_id[job_id].deliveries.append(DeliveryLine(**delivery))
    return {job_id: _held(by_id[job_id]) for job_id in some}


def _counted(session: Session, some: Collection[int]) -> Mapping[int, int]:
    """How many deliveries of each job are held, where any is."""
    rows = session.execute(_HELD.where(among(Outbox.job_id, some)))
    return {row[0]: row[1] for row in rows}


def _by_job(rows: Rows[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row as the id of its job, and its other columns by name."""
    _, *names = rows.keys()
    for row in rows:
        yield row[0], dict(zip(names, row[1:], strict=True))


def _told(line: JobLine, held: int) -> JobLine:
    """The job with what is held of it and what it came to; of several findings each has its name."""
    done = [run for run in line.runs if run.status == RunStatus.SUCCEEDED]
    outcomes = [Outcome.from_dict(one) for run in done for one in run.outcomes]
    scores = [ScoreOutcome.from_dict(one) for run in done for one in run.scores]
    told: list[Told] = [*outcomes, *scores]
    words = {one.finding: one.in_words() for one in told}
    if not words:
        return replace(line, held=held) if held else line
    named = "; ".join(f"{finding}: {text}" for finding, text in words.items())
    return replace(
        line,
        held=held,
        decision=str(decision_of(outcomes) or ""),
        result=outcomes[0].in_words() if len(outcomes) == len(words) == 1 else named,
        outcomes=[one.as_dict() for one in outcomes],
        scores=[one.as_dict() for one in scores],
    )


def number_of_jobs(wanted: JobFilter, *, up_to: int | None = None) -> ScalarSelect[int]:
    """Of a query: how many there are. ``up_to``: where counting ends; None: nowhere."""
    found = select(Job.id).where(*wanted.conditions()).limit(up_to)
    return select(func.count()).select_from(found.subquery()).scalar_subquery()


def _portions(ids: Iterable[int]) -> Iterator[list[int]]:
    """Portions that fit one statement of every database."""
    rest = list(ids)
    for start in range(0, len(rest), 500):
        yield rest[start : start + 500]


def _held(line: JobLine) -> int:
    return sum(delivery.status == OutboxStatus.HELD for delivery in line.deliveries)


def protocols_known(session: Session) -> set[str]:
    """Protocols of jobs, whether they are still configured or not."""
    return set(session.scalars(select(Job.protocol).distinct()))


def show_job(session: Session, job_id: int) -> JobLine | None:
    """One job with its runs and deliveries; None when there is no such job."""
    return next(iter(list_jobs(session, JobFilter(job_id=job_id))), None)


def _run_line(run: dict[str, Any]) -> RunLine:
    began, ended = run["started_at"], run["finished_at"]
    return RunLine(**run, seconds=None if began is None or ended is None else round(ended - began, 3))

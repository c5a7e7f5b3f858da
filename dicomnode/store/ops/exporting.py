"""What the database knows of the files of a job, for whoever takes them along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicomnode.store.queue.runs import source_paths
from dicomnode.store.tables import Job, Result


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A result of a job. ``path``: below the data folder."""

    kind: str
    path: str
    superseded: bool


@dataclass(frozen=True, slots=True)
class JobFiles:
    """Files of a job.

    Attributes
    ----------
    images : below the spool, oldest first; empty where retention has taken any.
    """

    task: str
    images: tuple[str, ...]
    results: tuple[ResultFile, ...]


def files_of(session: Session, job_id: int) -> JobFiles | None:
    """The images that count for a job, and its results; None where there is no such job."""
    job = session.get(Job, job_id)
    if job is None:
        return None
    rows: Sequence[Result] = session.scalars(select(Result).where(Result.job_id == job_id).order_by(Result.id)).all()
    results = tuple(ResultFile(row.kind, row.path, row.superseded) for row in rows)
    return JobFiles(job.task, tuple(source_paths(session, job.series_id)), results)

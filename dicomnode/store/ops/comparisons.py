"""Predicted scans held against the CTs that came: what is to be compared, and what came of it. For audit."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.ops.outcomes import ForecastLine
from dicomnode.store.queue.jobs import runs_of
from dicomnode.store.queue.runs import source_paths
from dicomnode.store.states import JOB_OPEN, RunStatus
from dicomnode.store.tables import Comparison, Job, Run

Pair = tuple[int, int, str]
"""The job that foretold, the job of the later scan, and the model."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of a pair. ``reason``: why there are no ``figures``; empty where there are."""

    reason: str
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Material:
    """Files of a pair, below the spool (``first``, ``later``) and below the work folder. Empty: they are gone.

    Attributes
    ----------
    forecast : findings of the run that foretold. findings : of all runs of the later job.
    """

    first: tuple[str, ...]
    later: tuple[str, ...]
    forecast: str
    findings: tuple[str, ...]


def pairs_to_compare(session: Session, lines: Iterable[ForecastLine], *, again: Collection[str] = ()) -> list[Pair]:
    """Pairs of jobs that are over and were not compared yet.

    Parameters
    ----------
    again : reasons for which a pair is tried once more.
    """
    pairs = dict.fromkeys((line.job_id, line.later_job_id, line.model) for line in lines)
    done = {pair for pair, one in compared(session, pairs).items() if one.reason not in again}
    return [pair for pair in pairs if pair not in done and not _is_open(session, pair)]


def _is_open(session: Session, pair: Pair) -> bool:
    statement = select(Job.id).where(Job.id.in_(pair[:2]), Job.status.in_(JOB_OPEN))
    return session.scalar(statement.limit(1)) is not None


def compared(session: Session, pairs: Iterable[Pair]) -> dict[Pair, Compared]:
    """What came of those pairs that were compared."""
    found: dict[Pair, Compared] = {}
    for pair in pairs:
        row = session.scalars(select(Comparison).where(*_is(pair))).one_or_none()
        if row is not None:
            found[pair] = Compared(row.reason, row.figures)
    return found


def _is(pair: Pair) -> tuple[Any, ...]:
    job_id, later_job_id, model = pair
    return Comparison.job_id == job_id, Comparison.later_job_id == later_job_id, Comparison.model == model


def material_of(session: Session, pair: Pair) -> Material:
    """Where the files of a pair are."""
    job_id, later_job_id, model = pair
    jobs = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_((job_id, later_job_id))))}
    foretold = select(Run.findings_path).where(Run.job_id == job_id, Run.model == model)
    later = [run.findings_path for run in runs_of(session, later_job_id) if run.status == RunStatus.SUCCEEDED]
    first_paths, later_paths = (
        tuple(source_paths(session, jobs[one].series_id)) if one in jobs else () for one in (job_id, later_job_id)
    )
    return Material(first_paths, later_paths, session.scalar(foretold) or "", tuple(later))


def keep_comparison(session: Session, pair: Pair, one: Compared) -> bool:
    """Write what came of a pair, in place of an earlier try; False where another process did it meanwhile."""
    session.execute(delete(Comparison).where(*_is(pair), Comparison.reason != ""))
    job_id, later_job_id, model = pair
    told = {"reason": one.reason[:40], "figures": dict(one.figures), "made_at": time.time()}
    return insert_if_absent(session, Comparison, job_id=job_id, later_job_id=later_job_id, model=model, **told)

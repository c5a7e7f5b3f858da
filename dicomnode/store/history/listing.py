"""Jobs and series without one, as one answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Select, null, select
from sqlalchemy.orm import Session

from dicomnode.store.history.jobs import JobFilter, list_jobs, number_of_jobs
from dicomnode.store.history.lines import JobLine, SeriesLine
from dicomnode.store.history.series import list_series_without_job, number_of_series_without_job

COUNTED = 1000
"""How far is counted for an operator: to count what a node has seen in years would take longer than to list it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Jobs and series without one. ``*_total``: how many there are, of which the newest are listed.

    ``series_without_job``: None where a filter asks for jobs alone.
    """

    jobs_total: int
    jobs: list[JobLine]
    series_without_job_total: int | None
    series_without_job: list[SeriesLine] | None


@lru_cache(maxsize=64)  # to build it takes longer than to run it
def _numbers(wanted: JobFilter, up_to: int | None) -> Select[int, int | None]:
    """How many jobs there are, and how many series without one, where all are asked for."""
    of_series = number_of_series_without_job(up_to=up_to) if wanted == JobFilter() else null()
    return select(number_of_jobs(wanted, up_to=up_to), of_series)


def list_all(session: Session, wanted: JobFilter, *, limit: int | None, in_full: bool = False) -> Listing:
    """The newest jobs, and where no filter is given the newest series without one.

    Parameters
    ----------
    in_full : every delivery of the jobs, and the totals counted to their end; else one that is more than ``COUNTED``
        says just that.
    """
    everything = wanted == JobFilter()
    jobs_total, series_total = session.execute(_numbers(wanted, None if in_full else COUNTED + 1)).one()
    return Listing(
        jobs_total=jobs_total,
        jobs=list_jobs(session, wanted, limit=limit, deliveries=in_full),
        series_without_job_total=series_total,
        series_without_job=list_series_without_job(session, limit=limit) if everything else None,
    )

"""Beside many rows: what operators are told of them, how retention goes through them, and what a step costs."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
from rich.console import Console
from sqlalchemy import update

from benchmarks.past import fill
from dicomnode.app import show
from dicomnode.store.engine import Store
from dicomnode.store.history.jobs import JobFilter
from dicomnode.store.history.listing import COUNTED, list_all
from dicomnode.store.ops.studies import newest_studies
from dicomnode.store.retention import BEGINNING, Limits, Place, expired_series, lock_expired, mark_purged
from dicomnode.store.tables import Job
from tests.integration.store.fixture import both_databases

pytestmark = both_databases
EVER = Limits(float("inf"), float("inf"))


def many(store: Store, studies: int) -> None:
    fill(store, range(1, studies + 1), images=2, events=6)


def steps(store: Store, limits: Limits, *, unused: bool = False, files: int = 7) -> Iterator[list[int]]:
    """The series that each step of retention finds."""
    place: Place | None = BEGINNING
    while place is not None:
        with store.read() as session:
            series_ids, place = expired_series(session, limits, unused=unused, after=place, files=files)
        yield sorted(series_ids)


def test_of_more_jobs_than_are_counted_is_said_just_that(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    many(store, COUNTED + 30)
    said = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=said, width=200))
    with store.read() as session:
        show.listing(list_all(session, JobFilter(), limit=3), "UTC")
        show.listing(list_all(session, JobFilter(accession_number="ACC7"), limit=0), "UTC")
        whole = list_all(session, JobFilter(), limit=3, in_full=True)
    assert f"3 of more than {COUNTED} jobs shown" in said.getvalue()
    assert "0 of 1 jobs shown" in said.getvalue()
    assert (whole.jobs_total, [line.job_id for line in whole.jobs]) == (COUNTED + 30, [1030, 1029, 1028])


def test_retention_finds_every_series_in_steps_of_a_few_files(store: Store) -> None:
    many(store, 20)
    found = list(steps(store, EVER))
    assert sorted({series_id for step in found for series_id in step}) == list(range(1, 21))
    assert max(len(step) for step in found) <= 4
    assert list(steps(store, EVER, unused=True)) == [[]]
    assert list(steps(store, Limits(time.time() - 30 * 86400.0, 0.0))) == [[]]


def test_retention_does_not_look_at_what_is_gone(store: Store) -> None:
    many(store, 20)
    with store.write() as session:
        for series_id in range(1, 20):
            mark_purged(session, lock_expired(session, series_id, EVER))
    assert list(steps(store, EVER)) == [[20]]


def test_the_newest_studies_have_all_their_series_and_the_states_of_their_jobs(store: Store) -> None:
    many(store, 60)
    with store.write() as session:
        session.execute(update(Job).where(Job.id == 60).values(status="failed"))
    with store.read() as session:
        lines = newest_studies(session, limit=50)
    assert len(lines) == 50
    (failed,) = [line for line in lines if line.study_uid == "1.2.3.60"]
    assert (failed.series, failed.states, failed.accession_number) == (1, ("failed",), "ACC60")

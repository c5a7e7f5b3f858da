"""Drift: what changed at one scanner is found, what did not is not, and few exams prove nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from dicomnode.store.engine import Store
from dicomnode.store.ops.drift import DAY_S, DriftLine, drift
from dicomnode.store.ops.levels import brain_levels
from dicomnode.store.states import RunStatus, SeriesStatus
from dicomnode.store.tables import Job, Run, Series
from tests.integration.ops.site import running_site
from tests.integration.ops.test_figures import POSITIVE
from tests.integration.store.fixture import both_databases

NEGATIVE = {**POSITIVE, "decision": "negative", "volume_ml": 0.0, "lesions": 0}


def exams(
    store: Store,
    sender: str,
    *,
    days_ago: float,
    positive: int = 0,
    negative: int = 0,
    refused: int = 0,
    brain_hu: float | None = None,
) -> None:
    """Series of a scanner, each with its job and run, or refused. ``brain_hu``: of the first, each next 0.1 HU more."""
    at = time.time() - days_ago * DAY_S
    with store.write() as session:
        for number in range(positive + negative + refused):
            is_refused = number >= positive + negative
            series = Series(
                study_uid=generate_uid(),
                series_uid=generate_uid(),
                modality="CT",
                sender_ae=sender,
                status=SeriesStatus.REFUSED if is_refused else SeriesStatus.CHOSEN,
                first_instance_at=at,
                last_instance_at=at,
            )
            session.add(series)
            session.flush()
            if not is_refused:
                level = None if brain_hu is None else brain_hu + 0.1 * number
                _run(session, series, POSITIVE if number < positive else NEGATIVE, at, level)


def _run(session: object, series: Series, outcome: dict[str, object], at: float, level: float | None) -> None:
    job = Job(
        study_uid=series.study_uid,
        acquisition_key="1",
        protocol="head",
        series_id=series.id,
        generation=1,
        status="done",
        priority="routine",
        created_at=at,
        ready_at=at,
        brain_hu=level,
    )
    session.add(job)  # type: ignore[attr-defined]
    session.flush()  # type: ignore[attr-defined]
    run = Run(job_id=job.id, model="m", position=0, status=RunStatus.SUCCEEDED, outcomes=[outcome])
    session.add(run)  # type: ignore[attr-defined]


def lines_of(store: Store) -> dict[tuple[str, str], DriftLine]:
    """By scanner and share."""
    with store.read() as session:
        lines = drift(session, now=time.time(), days=7, reference_days=28)
    return {(one.sender, one.what): one for one in lines}


@both_databases
def test_a_scanner_whose_exams_turn_positive_drifts_and_its_neighbour_does_not(store: Store) -> None:
    exams(store, "CT1", days_ago=20, positive=5, negative=45)
    exams(store, "CT1", days_ago=2, positive=20, negative=20)
    exams(store, "CT2", days_ago=20, positive=5, negative=45)
    exams(store, "CT2", days_ago=2, positive=4, negative=36)
    found = lines_of(store)
    one, other = found["CT1", "m, hemorrhage positive"], found["CT2", "m, hemorrhage positive"]
    assert (one.count, one.of, one.count_before, one.of_before, one.drifts) == (20, 40, 5, 50, True)
    assert one.p is not None
    assert one.p < 0.001
    assert not other.drifts
    assert next(iter(found)) == ("CT1", "m, hemorrhage positive")


@both_databases
def test_refused_series_drift_too_and_a_few_prove_nothing(store: Store) -> None:
    exams(store, "CT1", days_ago=20, negative=40)
    exams(store, "CT1", days_ago=2, negative=20, refused=20)
    exams(store, "CT2", days_ago=20, negative=40)
    exams(store, "CT2", days_ago=2, refused=5)
    exams(store, "CT3", days_ago=50, positive=40)
    found = lines_of(store)
    assert found["CT1", "series refused"].drifts
    few = found["CT2", "series refused"]
    assert (few.count, few.of, few.drifts) == (5, 5, False)
    assert not [key for key in found if key[0] == "CT3"]


@both_databases
def test_a_scanner_whose_brains_lie_elsewhere_drifts_and_one_that_moved_a_little_does_not(store: Store) -> None:
    exams(store, "CT1", days_ago=20, negative=40, brain_hu=30.0)
    exams(store, "CT1", days_ago=2, negative=21, brain_hu=36.0)
    exams(store, "CT2", days_ago=20, negative=40, brain_hu=30.0)
    exams(store, "CT2", days_ago=2, negative=40, brain_hu=31.9)
    exams(store, "CT3", days_ago=2, negative=3, brain_hu=30.0)
    with store.read() as session:
        moved, little, new = brain_levels(session, now=time.time(), days=7, reference_days=28)
    # medians by hand: 30.0 to 33.9 -> 31.95, 36.0 to 38.0 -> 37.0, 31.9 to 35.8 -> 33.85
    assert (moved.sender, moved.drifts) == ("CT1", True)
    assert (moved.count, moved.count_before) == (21, 40)
    assert (moved.median_hu, moved.median_hu_before) == (pytest.approx(37.0), pytest.approx(31.95))
    assert (little.sender, little.drifts) == ("CT2", False)
    assert little.p is not None
    assert little.p < 0.001
    assert (new.sender, new.median_hu_before, new.p, new.drifts) == ("CT3", None, None, False)


@both_databases
def test_a_score_that_is_high_more_often_drifts(store: Store) -> None:
    exams(store, "CT1", days_ago=20, negative=40)
    exams(store, "CT1", days_ago=2, negative=40)
    with store.write() as session:
        for number, run in enumerate(session.query(Run).order_by(Run.id)):
            value = 0.4 if 10 < number < 20 or number >= 60 else 0.1
            run.scores = [{"finding": "edema", "value": value, "unit": "1", "threshold": 0.3}]
    line = lines_of(store)["CT1", "m, edema high"]
    assert (line.count, line.of, line.count_before, line.of_before, line.drifts) == (20, 40, 9, 40, False)
    assert line.p == pytest.approx(0.0112, abs=1e-3)


def test_the_page_tells_it(store: Store, tmp_path: Path) -> None:
    exams(store, "CT1", days_ago=20, negative=40)
    exams(store, "CT1", days_ago=2, negative=20, refused=20, brain_hu=31.0)
    with running_site(store, tmp_path / "data") as site, site.logged_in("victor") as viewer:
        page = viewer.get("/drift").text
        assert "drifts" in page
        assert "20 of 40" in page
        assert "31.9 (20)" in page
    with running_site(store, tmp_path / "data") as site, site.visitor() as nobody:
        assert nobody.get("/drift").headers["location"] == "/login"

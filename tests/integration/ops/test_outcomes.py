"""Outcomes: a forecast is held to the CT that came, of the same person and in time; bleeds that grew are told."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydicom.uid import generate_uid
from sqlalchemy.orm import Session

from dicomnode.ops.outcomes import account
from dicomnode.store.clinical.patients import merge_patients
from dicomnode.store.engine import Store
from dicomnode.store.ops.outcomes import (
    HOUR_S,
    Forecast,
    ForecastLine,
    exams_by_patient,
    forecast_lines,
    growth_lines,
)
from dicomnode.store.states import RunStatus, SeriesStatus
from dicomnode.store.tables import Job, Run, Series, StudyPatient
from tests.integration.ops.test_drift import NEGATIVE
from tests.integration.ops.test_figures import POSITIVE
from tests.integration.store.fixture import both_databases

BEGIN = 1_800_000_000.0
FORECAST = Forecast(model="followup", score="followup_blood", finding="hemorrhage", at_h=24.0, until_h=72.0)


def bleed(volume_ml: float) -> dict[str, Any]:
    """What a run keeps of a bleed."""
    return {**POSITIVE, "volume_ml": volume_ml}


def scanned(
    store: Store,
    patient: str,
    hours: float,
    *,
    probability: float | None = None,
    marked: dict[str, Any] | None = None,
    birth_date: str = "19440502",
    status: str = "done",
) -> str:
    """A CT of a patient, so many hours after the first; returns its study UID."""
    at = BEGIN + hours * HOUR_S
    with store.write() as session:
        series = Series(
            study_uid=generate_uid(),
            series_uid=generate_uid(),
            modality="CT",
            sender_ae="CT1",
            status=SeriesStatus.CHOSEN,
            first_instance_at=at,
            last_instance_at=at,
        )
        session.add(series)
        session.flush()
        seen = {"seen_at": time.time(), "checked_at": time.time(), "scanned_at": at}
        who = {"patient_id": patient, "issuer": "", "birth_date": birth_date, "sex": "F"}
        session.add(StudyPatient(study_uid=series.study_uid, **who, **seen))
        job_id = _job(session, series, status)
        if marked is not None:
            session.add(_run(job_id, "hemorrhage", outcomes=[marked]))
        if probability is not None:
            said = {"finding": "followup_blood", "value": probability, "unit": "1", "threshold": 0.5}
            session.add(_run(job_id, "followup", scores=[said]))
        return series.study_uid


def _job(session: Session, series: Series, status: str) -> int:
    job = Job(
        study_uid=series.study_uid,
        acquisition_key="1",
        protocol="head",
        series_id=series.id,
        generation=1,
        status=status,
        priority="routine",
        created_at=BEGIN,
        ready_at=BEGIN,
    )
    session.add(job)
    session.flush()
    return job.id


def _run(job_id: int, model: str, **said: Any) -> Run:
    return Run(job_id=job_id, model=model, position=0, status=RunStatus.SUCCEEDED, **said)


@both_databases
def test_a_forecast_is_held_to_the_ct_nearest_to_its_hour_of_the_same_person(store: Store) -> None:
    first = scanned(store, "A", 0, probability=0.8, marked=bleed(5.0))
    scanned(store, "A", 2, marked=NEGATIVE)
    later = scanned(store, "A-OLD", 20, marked=bleed(30.0))
    scanned(store, "A", 30, marked=NEGATIVE, status="superseded")
    scanned(store, "A", 90, marked=NEGATIVE)
    scanned(store, "B", 0, probability=0.1, marked=NEGATIVE)
    scanned(store, "B", 24, marked=bleed(9.0), birth_date="20000101")
    with store.write() as session:
        merge_patients(session, ("A-OLD", ""), ("A", ""))
    with store.read() as session:
        (line,) = forecast_lines(exams_by_patient(session), FORECAST)
    assert (line.study_uid, line.later_study_uid, line.hours) == (first, later, 20.0)
    assert (line.probability, line.came, line.volume_ml) == (0.8, True, 30.0)


@both_databases
def test_a_bleed_that_grew_is_told_beside_one_that_did_not(store: Store) -> None:
    scanned(store, "A", 0, marked=bleed(10.0))
    scanned(store, "A", 24, marked=bleed(13.0))
    scanned(store, "A", 48, marked=bleed(19.5))
    scanned(store, "B", 0, marked=bleed(3.0))
    scanned(store, "B", 6, marked=bleed(4.2))
    scanned(store, "C", 0, marked=NEGATIVE)
    scanned(store, "C", 6, marked=bleed(4.2))
    scanned(store, "D", 0, marked=bleed(3.0))
    scanned(store, "D", 100, marked=bleed(40.0))
    with store.read() as session:
        lines = growth_lines(exams_by_patient(session), finding="hemorrhage", until_h=72.0)
    told = sorted((line.volume_ml, line.later_volume_ml, line.expanded) for line in lines)
    assert told == [(3.0, 4.2, True), (10.0, 13.0, False), (13.0, 19.5, True)]


def line(probability: float, came: bool | None) -> ForecastLine:
    """A forecast and what came."""
    studies = {"study_uid": "1.2", "later_study_uid": "1.3", "scanned_at": 0.0, "later_at": HOUR_S, "hours": 1.0}
    return ForecastLine(score="s", probability=probability, came=came, volume_ml=0.0, **studies)


def test_forecasts_are_counted_by_what_they_said_and_an_uncertain_ct_is_not() -> None:
    made = account("s", [line(0.0, False), line(0.2, False), line(0.2, True), line(1.0, True), line(0.6, None)])
    assert [(group.low, group.count, group.came, group.expected) for group in made.groups] == [
        (0.0, 1, 0, 0.0),
        (0.1, 2, 1, 0.2),
        (0.3, 0, 0, None),
        (0.5, 0, 0, None),
        (0.7, 1, 1, 1.0),
    ]
    # (0 + 0.04 + 0.64 + 0) / 4, and half of them came: 0.25 for whoever always says so
    assert (made.brier, made.brier_base, made.uncertain) == (pytest.approx(0.17), pytest.approx(0.25), 1)
    assert (made.whole.count, made.whole.came) == (4, 2)


def test_nothing_to_tell_is_said_so() -> None:
    made = account("s", [line(0.6, None)])
    assert (made.brier, made.whole.interval, made.whole.expected, made.uncertain) == (None, None, None, 1)

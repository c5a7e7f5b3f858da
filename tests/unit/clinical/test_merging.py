"""Of all that is known of a patient, what was observed nearest to the scan counts; another person's never does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dicomnode.clinical.matching import contradictions, same_patient
from dicomnode.clinical.merging import HOUR_S, Scan, merged, refusals
from dicomnode.records import ContextSource, ContextValue, Observation, Patient, PatientContext, ReportSection

AT = datetime(2026, 11, 28, 2, 0, tzinfo=UTC).timestamp()
ANNA = Patient(patient_id="1", birth_date="19440502", sex="F")
SCAN = Scan(patient=ANNA, at=AT, zone=ZoneInfo("Europe/Berlin"), before_s=24 * HOUR_S, after_s=6 * HOUR_S)


def seen(name: str, value: Any, hours: float | None, patient: Patient = ANNA, arrived_at: float = 0.0) -> Observation:
    observed_at = None if hours is None else AT + hours * HOUR_S
    source = ContextSource.FILE
    return Observation(
        patient=patient, name=name, value=value, source=source, observed_at=observed_at, arrived_at=arrived_at
    )


def value_of(name: str, *known: Observation, scan: Scan = SCAN, header: PatientContext | None = None) -> Any:
    found = merged(header or PatientContext(), known, (), scan).value(name)
    return None if found is None else found.value


def test_the_nearest_to_the_scan_counts_before_or_after_it() -> None:
    assert value_of("gcs", seen("gcs", 9.0, -5), seen("gcs", 10.0, -1), seen("gcs", 11.0, 2)) == 10.0
    assert value_of("gcs", seen("gcs", 9.0, -5), seen("gcs", 11.0, 2)) == 11.0


@pytest.mark.parametrize(("hours", "is_used"), [(-24, True), (-24.01, False), (6, True), (6.01, False)])
def test_what_was_observed_outside_the_window_does_not_count(hours: float, is_used: bool) -> None:
    assert (value_of("gcs", seen("gcs", 9.0, hours)) is not None) is is_used


def test_of_two_at_the_same_time_the_one_that_arrived_last_counts() -> None:
    first, correction = seen("inr", 2.0, -1, arrived_at=10.0), seen("inr", 2.4, -1, arrived_at=20.0)
    assert value_of("inr", first, correction) == value_of("inr", correction, first) == 2.4


def test_what_lasts_counts_however_old_it_is_but_not_from_the_future() -> None:
    assert value_of("diabetes", seen("diabetes", True, -24 * 900)) is True
    assert value_of("diabetes", seen("diabetes", True, None)) is True
    assert value_of("diabetes", seen("diabetes", True, 24)) is None


@pytest.mark.parametrize(("hours", "is_used"), [(-30, True), (-72, True), (-72.1, False), (6.1, False)])
def test_a_thrombectomy_counts_for_three_days_and_no_longer(hours: float, is_used: bool) -> None:
    assert (value_of("thrombectomy", seen("thrombectomy", True, hours)) is True) is is_used


def test_the_newest_of_what_lasts_counts_before_one_without_a_time() -> None:
    known = seen("smoking", True, None), seen("smoking", False, -24 * 30)
    assert value_of("smoking", *known) is False


def test_source_time_and_offset_are_stated() -> None:
    found = merged(PatientContext(), [seen("gcs", 10.0, -1.5)], (), SCAN).value("gcs")
    assert found is not None
    assert (found.source, found.observed_at, found.offset_s) == ("file", "2026-11-28T01:30+01:00", -5400.0)


def test_what_the_header_says_was_observed_at_the_scan() -> None:
    header = PatientContext(values=(ContextValue(name="age", value=82.0, source=ContextSource.HEADER, unit="a"),))
    assert value_of("age", seen("age", 81.0, None), header=header) == 82.0
    assert value_of("age", seen("age", 81.0, None)) == 81.0


def test_the_sum_of_a_scale_follows_from_its_parts_of_one_examination() -> None:
    parts = [seen("gcs_eye", 3.0, -1), seen("gcs_verbal", 2.0, -1), seen("gcs_motor", 5.0, -1)]
    assert value_of("gcs", *parts) == 10.0
    assert value_of("gcs", *parts, seen("gcs", 12.0, -3)) == 12.0
    assert value_of("gcs", *parts[:2], seen("gcs_motor", 6.0, -2)) is None
    assert value_of("gcs", *parts[:2]) is None


def test_the_hours_to_the_scan_follow_from_the_onset() -> None:
    onset = seen("onset_at", datetime.fromtimestamp(AT - 2.4 * HOUR_S, UTC).isoformat(), None)
    assert value_of("onset_to_ct", onset) == pytest.approx(2.4)
    assert value_of("onset_to_ct", seen("onset_at", datetime.fromtimestamp(AT + 60, UTC).isoformat(), None)) is None


def test_without_a_time_of_the_scan_only_what_lasts_counts() -> None:
    scan = Scan(patient=ANNA, at=None, zone=SCAN.zone, before_s=SCAN.before_s, after_s=SCAN.after_s)
    assert value_of("gcs", seen("gcs", 9.0, 0), scan=scan) is None
    assert value_of("diabetes", seen("diabetes", True, -5), scan=scan) is True


def test_a_variable_that_this_version_does_not_know_is_left_alone() -> None:
    assert value_of("shoe_size", seen("shoe_size", 42.0, -1)) is None


def test_the_section_of_a_report_nearest_to_the_scan_counts() -> None:
    def section(text: str, hours: float) -> ReportSection:
        written_at = AT + hours * HOUR_S
        return ReportSection(
            patient=ANNA, section="indication", text=text, source=ContextSource.FILE, written_at=written_at
        )

    context = merged(PatientContext(), (), [section("far", -20), section("near", -1), section("old", -30)], SCAN)
    assert [(text.text, text.offset_s) for text in context.texts] == [("near", -3600.0)]


@pytest.mark.parametrize(
    ("stated", "against"),
    [
        ({"birth_date": "19440503"}, ("birth_date",)),
        ({"sex": "M"}, ("sex",)),
        ({"birth_date": "19500101", "sex": "M"}, ("birth_date", "sex")),
        ({}, ()),
        ({"birth_date": "00000000", "sex": "O"}, ()),
        ({"birth_date": "19440502", "sex": "F"}, ()),
    ],
)
def test_another_birth_date_or_sex_refuses_and_a_missing_one_does_not(
    stated: dict[str, str], against: tuple[str, ...]
) -> None:
    other = Patient(patient_id="1", **stated)
    assert contradictions(ANNA, other) == contradictions(other, ANNA) == against
    known = seen("gcs", 9.0, -1, patient=other)
    assert (value_of("gcs", known) is None) is bool(against)
    assert refusals([known], ANNA) == dict.fromkeys(against, 1)


def test_the_same_id_by_another_issuer_is_another_patient_and_no_id_is_nobody() -> None:
    assert same_patient(ANNA, Patient(patient_id="1"))
    assert not same_patient(ANNA, Patient(patient_id="1", issuer="OTHER"))
    assert not same_patient(ANNA, Patient(patient_id="2"))
    assert not same_patient(Patient(patient_id=""), Patient(patient_id=""))

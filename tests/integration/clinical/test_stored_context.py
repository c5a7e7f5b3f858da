"""Rows of what is known of patients, on SQLite and on PostgreSQL."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from dicomnode.app.context_shown import pages_of, pages_table
from dicomnode.config.whole import Config
from dicomnode.records import ContextSource, Observation, Patient, ReportSection
from dicomnode.store.clinical.observations import forget_context, known_of, patients_named, store_context
from dicomnode.store.clinical.patients import all_keys, merge_patients, record_study, studies_of
from dicomnode.store.engine import Store
from dicomnode.store.tables import ClinicalValue, StudyPatient
from tests.integration.store.fixture import both_databases

pytestmark = both_databases

ANNA = Patient(patient_id="1", issuer="H", birth_date="19440502", sex="F")
GCS = Observation(
    patient=ANNA, name="gcs", value=10.0, unit="{score}", source=ContextSource.FILE, observed_at=1000.0, provenance="x"
)
TEXT = ReportSection(patient=ANNA, section="indication", text="weakness", source=ContextSource.FILE, written_at=900.0)


def rows(store: Store) -> int:
    with store.read() as session:
        return session.scalar(select(func.count()).select_from(ClinicalValue)) or 0


def test_what_is_stored_is_found_by_id_and_issuer_as_it_was(store: Store) -> None:
    values = [
        GCS,
        replace(GCS, name="hypertension", value=True, unit="", observed_at=None),
        replace(GCS, name="bleed_location", value="lobar", unit=""),
    ]
    with store.write() as session:
        stored = store_context(session, values, [TEXT])
        assert (stored.new, stored.known) == (4, 0)
    with store.read() as session:
        known = known_of(session, Patient(patient_id="1", issuer="H"))
        assert known_of(session, Patient(patient_id="1")).observations == ()
        assert known_of(session, Patient(patient_id="")).observations == ()
        assert patients_named(session, "1") == [("1", "H")]
    assert [replace(one, arrived_at=0.0) for one in known.observations] == values
    assert [replace(one, arrived_at=0.0) for one in known.texts] == [TEXT]
    assert all(abs(one.arrived_at - time.time()) < 60 for one in known.observations)


def test_a_repeat_is_one_row_and_a_correction_another(store: Store) -> None:
    for _ in range(2):
        with store.write() as session:
            stored = store_context(session, [GCS], [TEXT])
    assert (stored.new, stored.known) == (0, 2)
    with store.write() as session:
        assert store_context(session, [replace(GCS, provenance="elsewhere")], ()).new == 0
        assert store_context(session, [replace(GCS, value=11.0), replace(GCS, observed_at=1001.0)], ()).new == 2
    assert rows(store) == 3


def test_the_same_value_that_comes_over_several_lines_at_once_is_one_row(store: Store) -> None:
    def send(_: int) -> None:
        with store.write() as session:
            store_context(session, [GCS], ())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(send, range(8)))
    assert rows(store) == 1


def test_after_a_merge_what_is_known_under_either_id_is_about_the_survivor(store: Store) -> None:
    with store.write() as session:
        store_context(session, [GCS, replace(GCS, patient=replace(ANNA, patient_id="E17"), value=9.0)], ())
        merge_patients(session, ("E17", "H"), ("1", "H"))
    with store.read() as session:
        for patient_id in ("1", "E17"):
            known = known_of(session, Patient(patient_id=patient_id, issuer="H"))
            assert [one.value for one in known.observations] == [10.0, 9.0]


def test_merges_follow_each_other_and_never_run_in_a_circle(store: Store) -> None:
    a, b, c = ("a", ""), ("b", ""), ("c", "")
    with store.write() as session:
        merge_patients(session, a, b)
        merge_patients(session, b, c)
        assert set(all_keys(session, Patient(patient_id="a"))) == {a, b, c}
        assert all_keys(session, Patient(patient_id="a"))[0] == c
        merge_patients(session, c, a)
        assert set(all_keys(session, Patient(patient_id="b"))) >= {a, b, c} - {c}
        merge_patients(session, a, a)


def test_context_goes_by_its_own_retention(store: Store) -> None:
    with store.write() as session:
        store_context(session, [GCS], [TEXT])
        record_study(session, "1.2.3", ANNA, 1000.0)
        merge_patients(session, ("E17", "H"), ("1", "H"))
    assert forget_context(store, before=time.time() - 60) == 0
    assert forget_context(store, before=time.time() + 60) == 2
    with store.read() as session:
        assert known_of(session, ANNA).observations == ()
        assert studies_of(session, "1.2.3") == []
        assert all_keys(session, Patient(patient_id="E17", issuer="H")) == [("E17", "H")]


def test_what_the_newest_images_say_of_a_study_counts(store: Store) -> None:
    with store.write() as session:
        record_study(session, "1.2.3", ANNA, None)
        record_study(session, "1.2.3", replace(ANNA, patient_id="2"), 2000.0)
    with store.read() as session:
        (study,) = studies_of(session, "1.2.3")
        assert (study.patient.patient_id, study.scanned_at) == ("2", 2000.0)
        assert studies_of(session, "1") == []
        assert [one.study_uid for one in studies_of(session, "2")] == ["1.2.3"]
        assert session.scalar(select(func.count()).select_from(StudyPatient)) == 1


def test_what_is_known_is_shown_with_its_verdict(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    others = [replace(GCS, observed_at=500.0), replace(GCS, name="nihss", observed_at=-200_000.0)]
    wrong = replace(GCS, name="sbp", value=180.0, patient=replace(ANNA, sex="M"))
    with store.write() as session:
        store_context(session, [GCS, *others, wrong, replace(GCS, name="shoe_size")], [TEXT])
        record_study(session, "1.2.3", ANNA, 1200.0)
    with store.read() as session:
        (page,) = pages_of(session, Config(), "1.2.3")
        (without_study,) = pages_of(session, Config(), "1")
    assert [(line.name, line.verdict) for line in page.known] == [
        ("gcs", "used"),
        ("gcs", "another is nearer"),
        ("nihss", "too far from the scan"),
        ("sbp", "another patient: sex contradict"),
        ("shoe_size", "unknown variable"),
        ("indication", "used"),
    ]
    assert page.known[0].offset_h == round(-200 / 3600, 2)
    assert without_study == page  # a patient ID finds the study, too
    pages_table([page], "UTC")
    told = capsys.readouterr().out
    assert "Patient 1 (H); study 1.2.3" in told
    assert "weakness" not in told  # of a text the number of its words

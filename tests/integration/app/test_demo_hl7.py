"""What the demo's hospital tells: real messages, accepted by a real port, of the patient of its images."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicomnode.app.demo_hl7 import Message, demo_clinical, demo_messages, free_port, report_of_context, tell
from dicomnode.app.hl7 import hl7_listener
from dicomnode.config.whole import Config
from dicomnode.dicom import codes
from dicomnode.records import Patient
from dicomnode.store.clinical.observations import known_of
from dicomnode.store.engine import Store


def header() -> Dataset:
    ds = Dataset()
    ds.PatientID, ds.IssuerOfPatientID, ds.PatientName = "COHORT-DEMO", "dicomnode cohort", "DEMO^SYNTHETIC"
    ds.PatientBirthDate, ds.PatientSex, ds.StudyDate, ds.StudyTime = "19500101", "O", "20250102", "030405"
    return ds


def known_after(messages: list[Message], folder: Path, store: Store) -> tuple[list[list[str]], dict[str, object]]:
    """How a real port answered each message, and what is known of the patient then."""
    clinical = demo_clinical("dicomnode cohort", free_port())
    listener = hl7_listener(Config.model_validate({"node": {"data_dir": folder}, "clinical": clinical}), store)
    assert listener is not None
    listener.start()
    try:
        told = tell(messages, listener.port)
    finally:
        listener.stop()
    with store.read() as session:
        found = known_of(session, Patient(patient_id="COHORT-DEMO", issuer="dicomnode cohort")).observations
    values = {one.name: one.value for one in found}
    return told, values


def test_all_that_the_demo_tells_is_accepted_and_known_of_its_patient(tmp_path: Path, store: Store) -> None:
    told, values = known_after(demo_messages(header()), tmp_path, store)
    assert [row[3] for row in told] == ["AA", "AA", "AA"]
    assert {
        "gcs": 10.0,
        "nihss": 16.0,
        "inr": 2.8,
        "anticoagulant": True,
        "atrial_fibrillation": True,
    }.items() <= values.items()
    assert values["onset_at"] == "2025-01-02T01:19:05+00:00"
    assert values["glucose"] == pytest.approx(6.99, abs=0.01)


def test_of_a_patient_after_thrombectomy_it_is_told_that_there_was_one(tmp_path: Path, store: Store) -> None:
    _, values = known_after(demo_messages(header(), thrombectomy=True), tmp_path, store)
    assert {"thrombectomy": True, "gcs": 13.0, "inr": 1.1}.items() <= values.items()
    assert "anticoagulant" not in values


def test_the_report_says_what_the_results_used_or_that_they_used_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report, item, name = Dataset(), Dataset(), Dataset()
    name.CodeValue, item.ConceptNameCodeSequence = codes.INPUT_USED.value, [name]
    item.TextValue, report.Modality = "INR 2.8 (HL7, today)", "SR"
    report_of_context([], [report])
    assert "used any of it" in capsys.readouterr().out
    report.ContentSequence = [item]
    report_of_context([["LAB", "ORU^R01", "INR", "AA"]], [report])
    said = capsys.readouterr().out
    assert "INR 2.8 (HL7, today)" in said
    assert "used any of it" not in said

"""Reports: they carry what is only in the text, in changing words, and nothing of the course."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from dicomnode.cohort.patients import SYMPTOMS, Arm, draw_patient
from dicomnode.cohort.reports import ABSENT, PRESENT, write_report
from tests.unit.cohort.draws import draw_patients


@pytest.mark.parametrize("arm", [arm for arm in Arm if arm is not Arm.MIXED])
def test_every_symptom_of_a_patient_is_in_the_indication(arm: Arm) -> None:
    for patient in draw_patients(1, 40, arm):
        text = write_report(patient).indication.lower()
        for name, present in patient.symptoms.items():
            denials = [words.lower() for words in ABSENT.get(name, ())]
            without = text
            for denial in denials:
                without = without.replace(denial, "")
            assert present == any(words.lower() in without for words in PRESENT[name]), (name, text)


def test_the_words_of_the_deterioration_paper_occur() -> None:
    texts = " ".join(write_report(patient).text for patient in draw_patients(2, 60, Arm.STROKE_NO_EVT))
    assert all(word in texts for word in ("unsteadiness", "walking", "vision"))


def test_every_symptom_has_a_wording() -> None:
    assert {name for symptoms in SYMPTOMS.values() for name in symptoms} <= set(PRESENT)


def test_wording_varies_between_patients_with_the_same_facts() -> None:
    patient = draw_patient(3, Arm.STROKE_NO_EVT)
    texts = {write_report(dataclasses.replace(patient, seed=seed)).text for seed in range(20)}
    assert len(texts) >= 10
    assert write_report(patient) == write_report(patient)


def test_findings_name_blood_where_there_is_blood_only() -> None:
    for patient in draw_patients(4, 150, Arm.MIXED):
        findings = write_report(patient).findings
        denied = "No intracranial haemorrhage." in findings or "No haemorrhage is seen." in findings
        assert denied == (patient.lesions.blood_ml == 0)
        assert ("ventric" in findings.lower()) == (patient.lesions.ivh_ml > 0)
        assert ("subdural" in findings) == (patient.lesions.sdh_ml > 0)
        if patient.lesions.iph_ml and patient.lesions.site_of_bleed != "brainstem":
            assert f"{'left' if patient.lesions.side > 0 else 'right'} {patient.lesions.site_of_bleed}" in findings


def test_a_report_is_made_from_what_is_known_at_the_baseline() -> None:
    assert list(inspect.signature(write_report).parameters) == ["patient"]
    words = " ".join(write_report(patient).text.lower() for patient in draw_patients(5, 200, Arm.MIXED))
    assert not any(word in words for word in ("died", "death", "expansion", "outcome", "deteriorated", "follow-up"))

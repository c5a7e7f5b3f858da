"""Age and sex as the header of an image tells them."""

from __future__ import annotations

import pytest
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicomnode.clinical.sources.header import age_years, context_of_header, patient_of
from dicomnode.records import ContextSource, Patient


def header(**attributes: str) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        ds[keyword] = DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE)
    return ds


@pytest.mark.parametrize(
    ("attributes", "years"),
    [
        ({"PatientAge": "063Y"}, 63.0),
        ({"PatientAge": "018M"}, 1.0),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "000D"}, 0.0),
        ({"PatientAge": "", "PatientBirthDate": "19630501", "StudyDate": "20260430"}, 62.0),
        ({"PatientBirthDate": "19630501", "StudyDate": "20260501"}, 63.0),
        ({"PatientBirthDate": "20251101", "StudyDate": "20260501"}, 0.5),
    ],
)
def test_the_age_is_stated_or_follows_from_two_dates(attributes: dict[str, str], years: float) -> None:
    assert age_years(header(**attributes)) == pytest.approx(years)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"PatientBirthDate": "19630501"},
        {"PatientBirthDate": "19631399", "StudyDate": "20260501"},
        {"PatientBirthDate": "20270101", "StudyDate": "20260501"},
        {"PatientBirthDate": "18000101", "StudyDate": "20260501"},
    ],
)
def test_an_age_that_cannot_be_told_is_left_out(attributes: dict[str, str]) -> None:
    assert context_of_header(header(**attributes)).value("age") is None


def test_a_value_carries_its_source_and_the_day_of_the_scan() -> None:
    context = context_of_header(header(PatientAge="063Y", PatientSex="F", StudyDate="20260501"))
    age, sex = context.value("age"), context.value("sex")
    assert age is not None
    assert sex is not None
    assert (age.value, age.unit, age.source, age.observed_at) == (63.0, "a", ContextSource.HEADER, "2026-05-01")
    assert (sex.value, sex.unit) == ("female", "")
    assert context_of_header(header(PatientSex="X")).values == ()


@pytest.mark.parametrize(
    ("attributes", "patient"),
    [
        (
            {"PatientID": " 4711 ", "IssuerOfPatientID": "H", "PatientBirthDate": "19440502", "PatientSex": "F"},
            Patient(patient_id="4711", issuer="H", birth_date="19440502", sex="F"),
        ),
        (
            {"PatientID": "47\x0011", "PatientBirthDate": "1944.05.02"},
            Patient(patient_id="4711", birth_date="19440502"),
        ),
        ({"PatientBirthDate": "19000101", "PatientSex": "X"}, Patient(patient_id="")),
        ({"PatientBirthDate": "19441302"}, Patient(patient_id="")),
        ({}, Patient(patient_id="")),
    ],
)
def test_the_header_says_whose_scan_it_is(attributes: dict[str, str], patient: Patient) -> None:
    assert patient_of(header(**attributes)) == patient

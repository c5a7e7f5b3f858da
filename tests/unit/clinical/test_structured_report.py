"""What a structured report of another system tells of a patient."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomnode.clinical.sources.structured_report import ReportReader
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import ContextSource, Patient


def code(value: str, scheme: str, meaning: str = "meaning") -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def item(value_type: str, name: Dataset, *inner: Dataset, **attributes: object) -> Dataset:
    ds = Dataset()
    ds.ValueType, ds.ConceptNameCodeSequence = value_type, Sequence([name])
    if inner:
        ds.ContentSequence = Sequence(inner)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def number(name: Dataset, value: str, unit: str, **attributes: object) -> Dataset:
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, Sequence([code(unit, "UCUM")])
    return item("NUM", name, MeasuredValueSequence=Sequence([measured]), **attributes)


def text(name: Dataset, words: str) -> Dataset:
    return item("TEXT", name, TextValue=words)


def report(*inner: Dataset, **attributes: object) -> Dataset:
    ds = item("CONTAINER", code("126000", "DCM"), *inner)
    ds.SOPInstanceUID, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "1.2.3", "4711", "19440502", "F"
    ds.ContentDate, ds.ContentTime, ds.TimezoneOffsetFromUTC = "20261128", "021500", "+0100"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


FINDING = code("121071", "DCM", "Finding")
GCS = number(code("9269-2", "LN"), "10", "{score}")
WRITTEN = datetime(2026, 11, 28, 1, 15, tzinfo=UTC).timestamp()


def test_numbers_under_a_loinc_code_of_a_known_variable_are_taken_wherever_they_stand() -> None:
    glucose = number(code("2345-7", "LN"), "126", "mg/dL", ObservationDateTime="20261128020500+0100")
    group = item("CONTAINER", code("125007", "DCM"), GCS, glucose)
    unknown = number(code("1234-5", "LN"), "3", "mm")
    of_another_scheme = number(code("9269-2", "99OTHER"), "3", "{score}")
    reader = ReportReader("UTC", "HOSPITAL")
    found = reader.read(report(item("CONTAINER", code("126010", "DCM"), group, unknown, of_another_scheme)))
    gcs, sugar = found.observations
    assert (gcs.name, gcs.value, gcs.source, gcs.observed_at) == ("gcs", 10.0, ContextSource.SR, WRITTEN)
    assert gcs.patient == Patient(patient_id="4711", issuer="HOSPITAL", birth_date="19440502", sex="F")
    assert (sugar.name, round(float(sugar.value), 2), sugar.observed_at) == ("glucose", 6.99, WRITTEN - 600)
    assert (gcs.provenance, reader.skipped) == ("1.2.3", [])


def test_a_number_that_is_refused_costs_itself_alone() -> None:
    reader = ReportReader("UTC")
    d_dimer = number(code("48065-7", "LN"), "500", "")
    assert [one.name for one in reader.read(report(d_dimer, GCS)).observations] == ["gcs"]
    assert reader.skipped == [ContextRefusal.NO_UNIT]


@pytest.mark.parametrize(
    ("indication", "findings", "impression"),
    [
        (("121109", "DCM"), ("121070", "DCM"), ("121072", "DCM")),
        (("18785-6", "LN"), ("59776-5", "LN"), ("19005-8", "LN")),
    ],
)
def test_the_sections_of_a_text_report_are_told_apart_and_what_stands_outside_is_left(
    indication: tuple[str, str], findings: tuple[str, str], impression: tuple[str, str]
) -> None:
    author = Dataset()
    author.PersonName = "Muster^Anna"
    ds = report(
        text(code("121008", "DCM"), "Muster"),
        item("CONTAINER", code(*indication), text(FINDING, "Sudden weakness.")),
        item("CONTAINER", code(*findings), text(FINDING, "Bleed."), text(FINDING, "No shift.")),
        item("CONTAINER", code(*impression), text(FINDING, "Haemorrhage.")),
        AuthorObserverSequence=Sequence([author]),
    )
    found = ReportReader("UTC").read(ds).texts
    assert {(one.section, one.text) for one in found} == {
        ("indication", "Sudden weakness."),
        ("findings", "Bleed.\nNo shift."),
        ("impression", "Haemorrhage."),
    }
    assert {(one.author, one.written_at) for one in found} == {("Muster Anna", WRITTEN)}


def test_a_report_that_is_not_divided_is_one_text() -> None:
    (found,) = ReportReader("UTC").read(report(text(FINDING, "One."), text(FINDING, "Two."))).texts
    assert (found.section, found.text) == ("report", "One.\nTwo.")


def test_a_report_that_does_not_say_whose_it_is_is_refused() -> None:
    for patient_id in ("", "x" * 65):
        with pytest.raises(ContextError, match="no_patient"):
            ReportReader("UTC").read(report(GCS, PatientID=patient_id))


def test_a_tree_without_end_and_a_report_without_content_give_nothing() -> None:
    deep = GCS
    for _ in range(60):
        deep = item("CONTAINER", code("125007", "DCM"), deep)
    for ds in (report(deep), report()):
        found = ReportReader("UTC").read(ds)
        assert (found.observations, found.texts) == ((), ())

"""Report texts of OBX segments, and the facts of admissions."""

from __future__ import annotations

from datetime import datetime

import pytest

from dicomnode.errors import MessageRefused
from dicomnode.records import Observation, ReportSection
from tests.tools.hl7_messages import message, obr, obx, pid
from tests.unit.clinical.hl7.reading import read, reasons, rules, texts, values

BODY = "REPORT^Report^L"


def test_lines_of_a_radiologists_report_are_joined_and_divided_by_their_headings() -> None:
    lines = [
        "CT head of today",
        "Clinical history: fall",
        "",
        "FINDINGS:",
        "Bleed of 30 mL \\T\\ oedema.\\.br\\No shift.",
    ]
    lines += ["Beurteilung: ICB links"]
    segments = [obx(BODY, line, kind="TX", number=place) for place, line in enumerate(lines, start=1)]
    reading = read(message(pid(), obr(section="RAD", at="202601010900"), *segments))
    assert texts(reading) == {
        "report": "CT head of today",
        "history": "fall",
        "findings": "Bleed of 30 mL & oedema.\nNo shift.",
        "impression": "ICB links",
    }
    assert reading.faults == ()


def test_a_section_is_known_by_its_loinc_code_its_suffix_or_the_sites_own_code() -> None:
    segments = [
        obx("59776-5^Findings^LN", "line 1~line 2", kind="TX"),
        obx("70450&IMP^Impression^C4", "no bleed", kind="FT"),
        obx("FRAGE^x^L", "fall: syncope?", kind="ST"),
    ]
    reading = read(message(pid(), obr(section="X"), *segments), rules(codes={"FRAGE": "indication"}))
    assert texts(reading) == {"findings": "line 1\nline 2", "impression": "no bleed", "indication": "fall: syncope?"}


def test_texts_of_other_orders_are_no_reports() -> None:
    reading = read(message(pid(), obr(section="LAB"), obx(BODY, "haemolytic", kind="TX")))
    assert (reading.told, reading.faults) == ((), ())


def test_a_report_has_author_and_time_and_is_corrected_by_its_order() -> None:
    order = obr("R1", section="RAD").split("|")
    order[22] = "202601011030"
    order += [*[""] * 7, "12&SMITH&ANN"]
    (first, *gone) = read(message(pid(), "|".join(order), obx(BODY, "Bleed.", kind="TX", status="P"))).told
    assert isinstance(first.known, ReportSection)
    assert (first.known.author, first.known.section) == ("ANN SMITH", "report")
    assert first.known.written_at == 1767263400.0
    assert all(one.known is None for one in gone)
    corrected = read(message(pid(), obr("R1", section="RAD"), obx(BODY, "IMPRESSION: none", kind="TX", status="C")))
    assert {one.key for one in corrected.told} == {first.key, *(one.key for one in gone)}
    assert [one.known for one in corrected.told if one.key == first.key] == [None]


def test_a_report_without_a_time_or_too_long_is_told() -> None:
    assert reasons(read(message(pid(), obr(section="RAD", at=""), obx(BODY, "x", kind="TX")))) == ["no_time"]
    assert reasons(read(message(pid(), obr(section="RAD"), obx(BODY, "x" * 200_001, kind="TX")))) == ["too_large"]


def dg1(code: str, *, on: str = "", action: str = "") -> str:
    return "|".join(["DG1", "1", "", f"{code}^text^I10", "", on, *[""] * 15, action])


ADMITTED = "|".join(["PV1", "1", "I", *[""] * 41, "202601010930"])


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("I48.0", "atrial_fibrillation"),
        ("I10.00", "hypertension"),
        ("E11.9", "diabetes"),
        ("E11.3219", "diabetes"),
        ("I25.13G", "coronary_disease"),
        ("Z86.73", "prior_stroke"),
        ("I69.3", "prior_stroke"),
        ("Z79.01", "anticoagulant"),
        ("Z92.1", "anticoagulant"),
        ("Z79.02", "antiplatelet"),
        ("S06.5", "trauma"),
        ("S02.1", "trauma"),
        ("S02.4", ""),  # of the face
        ("C71.1", "brain_tumour"),
        ("I60.1", "aneurysm"),
        ("I48.1V", ""),  # suspected
        ("I48.1A", ""),  # excluded
        ("I63.4", ""),  # what the patient is here for
        ("I61.0", ""),
        ("E16.2", ""),
        ("427.31", ""),
    ],
)
def test_diagnoses_that_are_variables_are_taken(code: str, name: str) -> None:
    reading = read(message(pid(born="", sex=""), ADMITTED, dg1(code), kind="ADT^A01^ADT_A01"))
    assert values(reading) == ({name: True} if name else {})
    assert reading.faults == ()


def test_a_stroke_before_this_stay_is_a_prior_one() -> None:
    def told(on: str) -> dict[str, object]:
        return values(read(message(pid(born="", sex=""), ADMITTED, dg1("I63.4", on=on), kind="ADT^A08^ADT_A01")))

    assert told("20240301") == {"prior_stroke": True}
    assert told("202601010800") == {}


@pytest.mark.parametrize(
    ("on", "admitted", "at"),
    [
        ("202601010800", ADMITTED, "2026-01-01T08:00"),
        ("20251224", ADMITTED, "2025-12-24T12:00"),
        ("", ADMITTED, "2026-01-01T09:30"),
        ("20260101", "PV1|1|E", "2026-01-01T10:15"),  # noon has not been: when the message was written
        ("", "PV1|1|E", "2026-01-01T10:15"),
    ],
)
def test_a_head_trauma_has_a_time_since_it_does_not_last(on: str, admitted: str, at: str) -> None:
    (told,) = read(message(pid(born="", sex=""), admitted, dg1("S06.5", on=on), kind="ADT^A01^ADT_A01")).told
    assert isinstance(told.known, Observation)
    assert told.known.observed_at == datetime.fromisoformat(f"{at}+00:00").timestamp()


def test_a_diagnosis_is_taken_back_and_its_system_must_be_icd_10() -> None:
    (told,) = read(message(pid(born="", sex=""), dg1("I48", action="D"), kind="ADT^A08")).told
    assert told.known is None
    other = read(message(pid(born="", sex=""), "DG1|1||I48^x^SCT", kind="ADT^A08"))
    assert other.told == ()


def test_an_admission_tells_age_and_sex() -> None:
    reading = read(message(pid(), kind="ADT^A04^ADT_A01"))
    assert values(reading) == {"age": 81.0, "sex": "female"}
    assert values(read(message(pid(), obr(), kind="ORU^R01"))) == {}


def test_a_merge_names_prior_and_survivor() -> None:
    reading = read(message(pid("NEW"), "MRG|OLD^^^HOSPITAL^MR", pid("B"), "MRG|A^^^OTHER^PI", kind="ADT^A40^ADT_A39"))
    assert reading.merges == ((("OLD", "HOSPITAL"), ("NEW", "HOSPITAL")), (("A", "OTHER"), ("B", "HOSPITAL")))
    for wrong in ([pid("NEW")], [pid("A"), "MRG|A^^^HOSPITAL^MR"], [pid("A"), "MRG|"], ["MRG|A^^^HOSPITAL"]):
        with pytest.raises(MessageRefused):
            read(message(*wrong, kind="ADT^A40^ADT_A39"))

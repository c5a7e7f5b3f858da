from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from dicomnode.assemble.protocols import explain, matches, unmatchable_keywords
from dicomnode.config.protocols import HEAD_CT, Match, Range
from dicomnode.dicom.headers import header_of
from dicomnode.records import Header
from tests.tools.series import ct_headers


def head(**attributes: object) -> list[Header]:
    return ct_headers((0, 5, 10), StudyDescription="CT Head Thrombectomy", SliceThickness="5.0", **attributes)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, True),
        ({"Modality": "CT"}, True),
        ({"Modality": "^MR$"}, False),
        ({"StudyDescription": "(?i)thrombectomy|EVT"}, True),
        ({"StudyDescription": "thrombectomy"}, False),
        ({"Modality": "CT", "StudyDescription": "(?i)stroke"}, False),
        ({"ImageType": r"^ORIGINAL\\PRIMARY\\AXIAL$"}, True),
        ({"ImageType": ("AXIAL",)}, True),
        ({"ImageType": ("HELIX", "LOCALIZER")}, False),
        ({"Modality": ("CT", "PT")}, True),
        ({"SliceThickness": "^5$"}, True),
        ({"SliceThickness": ("5",)}, True),
        ({"SliceThickness": Range(max=8)}, True),
        ({"SliceThickness": Range(min=5, max=5)}, True),
        ({"SliceThickness": Range(min=5.1)}, False),
        ({"KVP": Range(min=80)}, False),  # absent
        ({"StudyDescription": Range(min=0)}, False),  # no number
        ({"BodyPartExamined": "HEAD"}, False),
        ({"BodyPartExamined": "^(HEAD|BRAIN|)$"}, True),  # absent is the empty text
        ({"BodyPartExamined": "^(?!CHEST)"}, True),
        ({"BodyPartExamined": ("HEAD",)}, False),
    ],
)
def test_a_condition_holds_or_not(match: dict[str, Match], expected: bool) -> None:
    assert matches(match, head()) is expected


@pytest.mark.parametrize("part", ["HEAD", "BRAIN", "SKULL", "Schädel", "CEREBRUM 4.8", "BASE 3MM", "NEUROCRANIUM", ""])
def test_the_first_protocol_of_a_new_node_takes_a_head_as_scanners_name_it(part: str) -> None:
    assert matches(HEAD_CT, head(Modality="CT", BodyPartExamined=part))


@pytest.mark.parametrize("part", ["CHEST", "ABDOMEN", "CSPINE", "NECK", "LUNGBASE", "KNEE"])
def test_the_first_protocol_of_a_new_node_takes_no_other_part_of_the_body(part: str) -> None:
    assert not matches(HEAD_CT, head(Modality="CT", BodyPartExamined=part))


def test_a_condition_must_hold_for_every_slice() -> None:
    uneven = ct_headers((0, 5, 10), SliceThickness=lambda index: ("5", "5", "10")[index])
    assert matches({"SliceThickness": Range(max=10)}, uneven)
    assert not matches({"SliceThickness": Range(max=8)}, uneven)
    assert not matches({"SliceThickness": "^5$"}, uneven)
    assert not matches({"SliceThickness": ("5",)}, uneven)


def test_a_range_holds_for_every_value_of_an_element() -> None:
    headers = [{**header, "WindowWidth": [80.0, 2000.0]} for header in head()]
    assert matches({"WindowWidth": Range(min=80)}, headers)
    assert not matches({"WindowWidth": Range(max=400)}, headers)


def test_an_empty_series_matches_nothing() -> None:
    assert not matches({}, [])
    assert not matches({"Modality": ""}, [])


def test_why_a_protocol_does_not_match_is_explained_condition_by_condition() -> None:
    clauses = explain({"Modality": "CT", "SliceThickness": Range(min=1, max=4), "BodyPartExamined": ("HEAD",)}, head())
    assert [clause.ok for clause in clauses] == [True, False, False]
    assert [clause.sentence() for clause in clauses] == [
        "Modality matches /CT/: CT",
        "SliceThickness does not match 1..4: 5",
        "BodyPartExamined does not match one of HEAD: (absent)",
    ]


def test_many_different_values_are_cut_short() -> None:
    headers = ct_headers(range(0, 50, 5))
    (clause,) = explain({"InstanceNumber": Range(max=100)}, headers)
    assert clause.ok
    assert clause.seen == "1, 2, 3, 4, 5, ..."
    assert explain({"InstanceNumber": Range(max=100)}, [])[0].seen == "(no slices)"


def test_keywords_that_no_header_holds_are_named() -> None:
    match: dict[str, Match] = {"Modality": "CT", "PatientName": "x", "StudyDescripton": "x", "PatientAge": "0[2-9]."}
    assert unmatchable_keywords(match) == ["PatientName", "StudyDescripton"]


@pytest.mark.real_data
def test_the_real_ge_head_matches_by_body_part_and_range(real_data: Path) -> None:
    files = sorted((real_data / "head_ct_ge").glob("*.dcm"))
    headers = [header_of(pydicom.dcmread(path, stop_before_pixels=True)) for path in files]
    assert matches({"Modality": "^CT$", "BodyPartExamined": "(?i)head|brain", "SliceThickness": Range(max=8)}, headers)
    assert not matches({"SliceThickness": Range(max=5)}, headers)
    # Two image types in one series: the pattern must allow both.
    assert matches({"ImageType": r"^ORIGINAL\\PRIMARY\\AXIAL"}, headers)
    assert not matches({"ImageType": r"AXIAL$"}, headers)

"""The table of coded concepts against SNOMED's check digit and DICOM's own dictionary."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.sr._concepts_dict import concepts

from dicomnode.dicom import codes
from dicomnode.records import FindingConcepts, MaskFinding
from tests.unit.encode.cases import EVEN, case_of

ALL_CODES = tuple(value for value in vars(codes).values() if isinstance(value, codes.Code))
_MULTIPLY = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_PERMUTE = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def has_valid_check_digit(sctid: str) -> bool:
    """Verhoeff's test (SNOMED CT Release File Specification, section 6.4): the dihedral group D5 over the digits."""
    check = 0
    for place, digit in enumerate(reversed(sctid)):
        check = int(_MULTIPLY[check][int(_PERMUTE[place % 8][int(digit)])])
    return check == 0


@pytest.mark.parametrize("code", [c for c in ALL_CODES if c.scheme == "SCT"], ids=lambda c: c.meaning)
def test_every_snomed_code_has_its_check_digit(code: codes.Code) -> None:
    assert has_valid_check_digit(code.value)


@pytest.mark.parametrize("wrong", ["445139007", "274110009", "50960050"])
def test_the_check_digit_finds_codes_that_do_not_exist(wrong: str) -> None:
    assert not has_valid_check_digit(wrong)


def has_valid_loinc_digit(value: str) -> bool:
    """LOINC Users' Guide, appendix C: the digit after the hyphen is that of Luhn's formula (mod 10)."""
    number, _, check = value.partition("-")
    total = sum(
        sum(divmod(int(digit) * (2 if place % 2 == 0 else 1), 10)) for place, digit in enumerate(reversed(number))
    )
    return check == str(-total % 10)


@pytest.mark.parametrize("code", [c for c in ALL_CODES if c.scheme == "LN"], ids=lambda c: c.meaning)
def test_every_loinc_code_has_its_check_digit(code: codes.Code) -> None:
    assert has_valid_loinc_digit(code.value)


@pytest.mark.parametrize("wrong", ["18748-5", "55111-5", "1900-58"])
def test_the_check_digit_of_loinc_finds_codes_that_do_not_exist(wrong: str) -> None:
    assert not has_valid_loinc_digit(wrong)


@pytest.mark.parametrize("code", [c for c in ALL_CODES if c.scheme in {"SCT", "DCM"}], ids=lambda c: c.meaning)
def test_every_standard_code_stands_in_the_dictionary_of_dicom_with_this_meaning(code: codes.Code) -> None:
    meanings = [entry[code.value][0] for entry in concepts[code.scheme].values() if code.value in entry]
    assert code.meaning in meanings


@pytest.mark.parametrize("code", ALL_CODES, ids=lambda c: c.meaning)
def test_values_and_meanings_fit_their_representations(code: codes.Code) -> None:
    assert 0 < len(code.value) <= 16
    assert 0 < len(code.scheme) <= 16
    assert 0 < len(code.meaning) <= 64


def test_no_concept_is_listed_twice() -> None:
    keys = [code[:2] for code in ALL_CODES]
    assert len(set(keys)) == len(keys) > 20


@pytest.mark.parametrize("name", [*codes.FINDINGS, "something new"])
def test_a_finding_has_a_content_label_that_is_a_code_string(name: str) -> None:
    label = codes.finding_codes(name).content_label
    assert len(label) <= 16
    assert label.replace("_", "").isupper()


def test_an_unknown_finding_is_a_lesion_of_the_brain() -> None:
    assert codes.finding_codes("something new").type == codes.LESION_OF_BRAIN


def coded_finding(concepts: FindingConcepts | None, label: str = "Spleen", name: str = "foreign_spleen") -> MaskFinding:
    """A finding without voxels."""
    return replace(case_of(EVEN).masks[0], name=name, label=label, concepts=concepts)


def test_a_finding_is_coded_as_its_bundle_says() -> None:
    category, kind, site = ("91723000", "SCT", "Anatomical Structure"), ("78961009", "SCT", "Spleen"), codes.HEAD
    seen = codes.concepts_of(coded_finding(FindingConcepts(category, kind, tuple(site))))
    assert (seen.category, seen.type, seen.site, seen.noun) == (category, kind, site, "spleen")
    assert seen.rgb in codes.PALETTE


def test_a_finding_of_a_known_type_is_drawn_and_worded_as_the_table_says_whatever_its_name() -> None:
    known = codes.FINDINGS["hemorrhage"]
    foreign = coded_finding(FindingConcepts(tuple(known.category), tuple(known.type)), name="other_model_blood")
    assert codes.concepts_of(foreign) == known
    assert codes.concepts_of(coded_finding(None, name="hemorrhage")) == known


def test_abbreviations_stay_as_they_are_and_long_labels_leave_room_for_the_series_description() -> None:
    concepts = FindingConcepts(tuple(codes.MORPHOLOGICALLY_ABNORMAL), tuple(codes.MORPHOLOGICALLY_ABNORMAL))
    assert codes.concepts_of(coded_finding(concepts, label="CSF")).noun == "CSF"
    assert len(f"AI {codes.concepts_of(coded_finding(concepts, label='L' * 64)).noun} measurements (research)") <= 64

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.dicom import uids
from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, derived_uid, is_valid_uid


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(uids)
    assert result.attempted
    assert result.failed == 0


@pytest.mark.parametrize(
    "uid",
    ["1.2.840.10008.1.1", "2.25.0", "1", "1.02.003", "1." + "2" * 62, "2.25." + str(2**128 - 1)],
)
def test_digits_and_single_dots_up_to_64_characters_are_a_uid(uid: str) -> None:
    assert is_valid_uid(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "",
        ".",
        "..",
        "1.",
        ".1",
        "1..2",
        "../1.2",
        "1/2",
        "1\\2",
        "1.2\n",
        " 1.2",
        "1.2\x00",
        "1.2a",
        "1.\uff12",
        "1." + "2" * 63,
    ],
)
def test_whatever_could_leave_the_spool_is_no_uid(uid: str) -> None:
    assert not is_valid_uid(uid)


@given(st.text())
def test_a_uid_that_passes_is_a_plain_file_name(text: str) -> None:
    assert not is_valid_uid(text) or (set(text) <= set("0123456789.") and ".." not in text and text[0] != ".")


@given(st.lists(st.text(), min_size=1))
def test_derived_uids_are_valid_and_always_the_same(parts: list[str]) -> None:
    uid = derived_uid(*parts)
    assert uid == derived_uid(*parts)
    assert is_valid_uid(uid)
    assert uid.startswith("2.25.")
    assert uid == f"2.25.{int(uid[5:])}"


def test_derived_uids_are_stable_between_versions() -> None:
    # A result sent by an earlier version must not appear again under another UID.
    assert derived_uid("1.2.3", "seg") == "2.25.41818908624213894944662527375066284672"


def test_derived_uids_differ_by_where_the_parts_are_split() -> None:
    assert len({derived_uid("ab", "c"), derived_uid("a", "bc"), derived_uid("abc"), derived_uid("abc", "")}) == 4


def test_a_uid_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        derived_uid()


def test_the_implementation_names_itself_within_the_limits_of_the_standard() -> None:
    assert is_valid_uid(IMPLEMENTATION_CLASS_UID)
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16

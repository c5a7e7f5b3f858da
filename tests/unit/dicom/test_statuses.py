from __future__ import annotations

import doctest

from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

from dicomnode.dicom import statuses
from dicomnode.dicom.statuses import category, is_stored, sentence


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(statuses)
    assert result.attempted
    assert result.failed == 0


def test_every_storage_status_falls_into_the_category_of_the_standard() -> None:
    assert len(STORAGE_SERVICE_CLASS_STATUS) > 4000
    differing = {
        hex(code) for code, (kind, _) in STORAGE_SERVICE_CLASS_STATUS.items() if category(code) != kind.lower()
    }
    assert differing == set()


def test_only_success_and_warnings_count_as_stored() -> None:
    assert is_stored(0x0000)
    assert is_stored(0xB000)
    for code in (0xA700, 0xA900, 0xC000, 0x0122, 0xFE00, 0xFF00, 0x4242):
        assert not is_stored(code)


def test_a_status_reads_as_a_phrase() -> None:
    assert sentence(0xA700) == "0xA700 failure (out of resources)"
    assert sentence(0x0000) == "0x0000 success"

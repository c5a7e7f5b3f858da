"""When a scan was, as its header tells it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicomnode.dicom.times import scanned_at, written_at


def header(**attributes: str) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        ds[keyword] = DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE)
    return ds


def utc(hour: int, minute: int, second: int = 0) -> float:
    return datetime(2026, 11, 28, hour, minute, second, tzinfo=UTC).timestamp()


STUDY = {"StudyDate": "20261128", "StudyTime": "010000"}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"AcquisitionDateTime": "20261128031500.25"}, utc(2, 15)),
        ({"AcquisitionDateTime": "20261128031500+0300"}, utc(0, 15)),
        ({"AcquisitionDateTime": "20261128031500", "TimezoneOffsetFromUTC": "-0500"}, utc(8, 15)),
        ({"AcquisitionDate": "20261128", "AcquisitionTime": "031500", **STUDY}, utc(2, 15)),
        ({"AcquisitionDate": "2026.11.28", "AcquisitionTime": "03:15:00", **STUDY}, utc(2, 15)),
        ({"AcquisitionDate": "20261128", **STUDY}, utc(0, 0)),
        ({"AcquisitionDate": "20261128", "AcquisitionTime": "99", **STUDY}, utc(0, 0)),
        ({"SeriesDate": "20261128", "SeriesTime": "0130", **STUDY}, utc(0, 30)),
        ({"StudyDate": "20261128", "StudyTime": "235960"}, utc(22, 59, 59)),
        ({"StudyDate": "20261328", "StudyTime": "010000"}, None),
        ({"StudyDate": "20261128"}, None),
        ({}, None),
    ],
)
def test_the_time_nearest_to_the_acquisition_counts_in_the_zone_that_the_header_states(
    attributes: dict[str, str], expected: float | None
) -> None:
    assert scanned_at(header(**attributes), "Europe/Berlin") == expected


def test_a_document_was_written_when_its_content_says() -> None:
    assert written_at(header(ContentDate="20261128", ContentTime="031500"), "Europe/Berlin") == utc(2, 15)
    assert written_at(header(ContentDate="20261128"), "UTC") is None

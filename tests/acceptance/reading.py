"""What a receiving system reads in a report, with pydicom alone."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

VOLUME = "118565006"


def contents(item: Dataset) -> Iterator[Dataset]:
    """All content items below one, in document order (DICOM PS3.3 C.17.3)."""
    for child in item.get("ContentSequence", []):
        yield child
        yield from contents(child)


def volume_in_sr(sr: Dataset) -> float:
    """The first volume in mL that the report states: the total's."""
    for content in contents(sr):
        if content.ValueType == "NUM" and content.ConceptNameCodeSequence[0].CodeValue == VOLUME:
            measured = content.MeasuredValueSequence[0]
            assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "mL"
            return float(measured.NumericValue)
    raise AssertionError("the report states no volume")

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from dicomnode.assemble.selection import (
    Candidate,
    candidate_of,
    is_first_choice,
    kernel_class,
    rank,
    same_acquisition,
)
from dicomnode.config.protocols import Range
from dicomnode.dicom.headers import header_of
from dicomnode.records import Header
from tests.tools.series import ct_headers

PREFERRED = Range(min=2.0, max=8.0)
BEST = Candidate("1.1", "soft", complete=True, spacing_mm=5.0, slices=28)


def headers_in(folder: Path) -> list[Header]:
    files = [path for path in sorted(folder.iterdir()) if pydicom.misc.is_dicom(path)]
    return [header_of(pydicom.dcmread(path, stop_before_pixels=True)) for path in files]


@pytest.mark.parametrize(
    ("manufacturer", "kernel", "description", "expected"),
    [
        ("GE MEDICAL SYSTEMS", "STANDARD", "", "soft"),
        ("GE MEDICAL SYSTEMS", "STD+", "", "soft"),
        ("GE MEDICAL SYSTEMS", "SOFT", "", "soft"),
        ("GE MEDICAL SYSTEMS", "BONE", "", "bone"),
        ("GE MEDICAL SYSTEMS", "BONEPLUS", "BRAIN", "bone"),
        ("GE MEDICAL SYSTEMS", "EDGE", "", "bone"),
        ("SIEMENS", "H30s", "", "soft"),
        ("SIEMENS", "J40s\\3", "", "soft"),
        ("Siemens Healthineers", "Hr38h\\3", "", "soft"),
        ("SIEMENS", "H60s", "", "bone"),
        ("Siemens Healthineers", "Hr64h", "", "bone"),
        ("SIEMENS", "U75u", "", "bone"),
        ("SIEMENS", "H50s", "", "unknown"),
        ("SIEMENS", "H50s", "Schaedel Knochen", "bone"),
        ("Philips", "UB", "STD BRAIN 5MM", "soft"),
        ("Philips", "YA", "BONE BRAIN 1MM", "bone"),
        ("Philips", "D", "", "bone"),
        ("Philips", "C", "", "soft"),
        ("TOSHIBA", "FC26", "", "soft"),
        ("TOSHIBA", "FC68", "", "soft"),
        ("CANON", "FC30", "", "bone"),
        ("TOSHIBA", "FC81", "", "bone"),
        ("UIH", "H_SOFT_B", "", "soft"),
        ("UIH", "", "Bone 1.0", "bone"),
        ("NMS", "", "BONE BRAIN 1MM", "bone"),
        ("NMS", "F20", "brain 5mm", "soft"),
        ("NMS", "F20", "axial", "unknown"),
        ("", "", "", "unknown"),
    ],
)
def test_kernels_are_told_by_the_vendors_names(manufacturer: str, kernel: str, description: str, expected: str) -> None:
    header: Header = {
        "Manufacturer": manufacturer,
        "ConvolutionKernel": kernel.split("\\") if "\\" in kernel else kernel,
        "SeriesDescription": description,
    }
    assert kernel_class(header) == expected


def test_reconstructions_are_ranked_as_documented() -> None:
    ordered = [
        BEST,
        replace(BEST, series_uid="1.2"),  # by UID, so that every node chooses the same
        replace(BEST, slices=20),
        replace(BEST, spacing_mm=1.0),
        replace(BEST, spacing_mm=10.0),
        replace(BEST, complete=False),
        replace(BEST, kernel="unknown"),
        replace(BEST, kernel="bone"),
        replace(BEST, kernel="bone", complete=False),
    ]
    assert sorted(reversed(ordered), key=lambda candidate: rank(candidate, PREFERRED)) == ordered


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"spacing_mm": 2.0}, True),
        ({"spacing_mm": 1.0}, False),
        ({"spacing_mm": 10.0}, False),
        ({"kernel": "unknown"}, False),
        ({"kernel": "bone"}, False),
        ({"complete": False}, False),
    ],
)
def test_only_what_cannot_be_bettered_starts_at_once(change: dict[str, object], expected: bool) -> None:
    assert is_first_choice(replace(BEST, **change), PREFERRED) is expected


def test_an_open_range_has_no_bound() -> None:
    assert is_first_choice(replace(BEST, spacing_mm=0.6), Range(max=8.0))
    assert is_first_choice(replace(BEST, spacing_mm=12.0), Range(min=2.0))


def test_a_candidate_is_read_off_its_headers() -> None:
    headers = ct_headers(Manufacturer="Philips", ConvolutionKernel="UB")
    expected = Candidate(str(headers[0]["SeriesInstanceUID"]), "soft", complete=True, spacing_mm=5.0, slices=30)
    assert candidate_of(headers) == expected


def test_a_candidate_that_is_no_volume_is_partial() -> None:
    part = candidate_of(ct_headers((0, 5, 10)))
    assert (part.complete, part.spacing_mm) == (False, 5.0)
    doubled = candidate_of(ct_headers((0, 5, 5)))
    assert (doubled.complete, doubled.spacing_mm) == (False, float("inf"))


def times(start: int, name: str = "other", step: int = 0, **attributes: object) -> list[Header]:
    """A series acquired from 10:00 plus ``start`` seconds."""
    return ct_headers(
        (0, 5, 10),
        name=name,
        AcquisitionDate="20260102",
        AcquisitionTime=lambda index: f"10{(start + step * index) // 60:02}{(start + step * index) % 60:02}",
        **attributes,
    )


def test_two_reconstructions_with_overlapping_times_are_one_acquisition() -> None:
    assert same_acquisition(times(0, step=2), times(1, step=2))
    assert same_acquisition(times(0), times(5))


def test_a_repeat_scan_minutes_later_is_another_acquisition() -> None:
    assert not same_acquisition(times(0, AcquisitionNumber=1), times(120, AcquisitionNumber=1))
    assert not same_acquisition(times(120), times(0))


def test_the_irradiation_event_decides_where_both_have_it() -> None:
    first = times(0, IrradiationEventUID="1.2.1")
    assert same_acquisition(first, times(600, IrradiationEventUID="1.2.1", FrameOfReferenceUID="1.9"))
    assert not same_acquisition(first, times(0, IrradiationEventUID="1.2.2"))
    assert same_acquisition(first, times(0, IrradiationEventUID=["1.2.5", "1.2.1"]))
    # Where one lacks it, the times decide.
    assert same_acquisition(first, times(0))


def test_another_study_or_frame_of_reference_is_another_acquisition() -> None:
    assert not same_acquisition(times(0), times(0, StudyInstanceUID="1.9"))
    assert not same_acquisition(times(0), times(0, FrameOfReferenceUID="1.9"))
    assert same_acquisition(times(0), times(0, FrameOfReferenceUID=None))


def test_without_times_a_common_acquisition_number_decides() -> None:
    sequential = ct_headers((0, 5, 10), AcquisitionNumber=lambda index: index + 1)
    assert same_acquisition(sequential, ct_headers((0, 5, 10), name="bone", AcquisitionNumber=lambda index: 3 - index))
    assert not same_acquisition(sequential, ct_headers((0, 5, 10), name="repeat", AcquisitionNumber=9))


def test_where_nothing_is_known_a_common_frame_of_reference_decides() -> None:
    bare = ct_headers((0, 5, 10))
    assert same_acquisition(bare, ct_headers((0, 5, 10), name="other"))
    unknown = ct_headers((0, 5, 10), name="other", FrameOfReferenceUID=None)
    assert not same_acquisition(bare, unknown)


@pytest.mark.real_data
def test_of_the_real_plastic_head_the_5_mm_soft_series_is_chosen(real_data: Path) -> None:
    series = {name: headers_in(real_data / "philips_plastic_head" / name) for name in ("S2010", "S2020", "S2030")}
    candidates = {name: candidate_of(headers) for name, headers in series.items()}
    assert sorted(candidates, key=lambda name: rank(candidates[name], PREFERRED)) == ["S2010", "S2020", "S2030"]
    assert [is_first_choice(candidates[name], PREFERRED) for name in series] == [True, False, False]
    assert [candidate.kernel for candidate in candidates.values()] == ["soft", "soft", "bone"]
    # Had the thin series come whole, the preferred thickness would still decide.
    thin = replace(candidates["S2020"], complete=True, slices=140)
    assert rank(candidates["S2010"], PREFERRED) < rank(thin, PREFERRED)
    assert rank(thin, Range(max=1.5)) < rank(candidates["S2010"], Range(max=1.5))
    assert same_acquisition(series["S2010"], series["S2030"])


@pytest.mark.real_data
def test_the_real_ge_head_is_a_first_choice(real_data: Path) -> None:
    headers = headers_in(real_data / "head_ct_ge")
    assert is_first_choice(candidate_of(headers), PREFERRED)
    assert same_acquisition(headers[:10], headers)

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from dicomnode.assemble.gate import MIN_SLICES, extent_of, volume_gate
from dicomnode.dicom.headers import header_of
from dicomnode.errors import IncompleteSeries, InconsistentGeometry, Refusal, SeriesError
from dicomnode.records import Header
from tests.tools.series import EVEN, ct_headers, tilted


def headers_in(folder: Path) -> list[Header]:
    files = [path for path in sorted(folder.iterdir()) if pydicom.misc.is_dicom(path)]
    return [header_of(pydicom.dcmread(path, stop_before_pixels=True)) for path in files]


def refusal(headers: list[Header]) -> SeriesError:
    with pytest.raises(SeriesError) as caught:
        volume_gate(headers)
    return caught.value


def test_a_whole_head_passes_and_gives_its_geometry() -> None:
    stack = volume_gate(ct_headers())
    assert stack.coverage_mm == 145
    assert len(stack.order) == 30


def test_a_tilted_head_with_two_spacings_passes() -> None:
    offsets = [*range(0, 56, 4), *range(60, 150, 7)]
    assert volume_gate(ct_headers(offsets, orientation=tilted(25))).coverage_mm == pytest.approx(144, abs=1e-4)


def test_a_missing_slice_is_refused_with_its_place_failure_mode_10() -> None:
    error = refusal(ct_headers([offset for offset in EVEN if offset != 50]))
    assert isinstance(error, IncompleteSeries)
    assert error.refusal is Refusal.MISSING_SLICES
    assert error.detail == "1 gaps: 10.00 mm between slices 10 and 11 (z 45.00 to 55.00)"


def test_too_few_slices_are_refused_before_anything_else() -> None:
    assert refusal(ct_headers(range(0, 15 * (MIN_SLICES - 1), 15))).refusal is Refusal.TOO_FEW_SLICES
    assert refusal([]).refusal is Refusal.TOO_FEW_SLICES


def test_a_part_of_a_head_is_refused() -> None:
    assert refusal(ct_headers(range(0, 100, 5))).refusal is Refusal.COVERAGE_TOO_SMALL
    assert volume_gate(ct_headers(range(0, 101, 5))).coverage_mm == 100


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 0.2, -0.98), (0, 1, 0, 0.3, 0, -0.95)], ids=["coronal", "sagittal"]
)
def test_a_reformat_in_another_plane_is_not_axial(orientation: tuple[float, ...]) -> None:
    headers = ct_headers(orientation=unit(orientation))
    assert refusal(headers).refusal is Refusal.NOT_AXIAL


def unit(orientation: tuple[float, ...]) -> tuple[float, ...]:
    length = sum(value**2 for value in orientation[3:]) ** 0.5
    return (*orientation[:3], *(value / length for value in orientation[3:]))


def test_slices_in_two_frames_of_reference_are_refused() -> None:
    headers = ct_headers(FrameOfReferenceUID=lambda index: f"1.2.{index // 20}")
    error = refusal(headers)
    assert isinstance(error, InconsistentGeometry)
    assert error.refusal is Refusal.MIXED_FRAME_OF_REFERENCE


def test_slices_without_a_frame_of_reference_are_taken() -> None:
    assert volume_gate(ct_headers(FrameOfReferenceUID=None)).coverage_mm == 145


@pytest.mark.parametrize(
    "attributes",
    [{"RescaleIntercept": None}, {"RescaleSlope": None}, {"RescaleType": "Z_EFF"}, {"RescaleType": "MGML"}],
)
def test_slices_that_are_no_hounsfield_units_are_refused(attributes: Header) -> None:
    headers = ct_headers()
    keyword, value = next(iter(attributes.items()))
    if value is None:
        del headers[7][keyword]
    else:
        headers = ct_headers(**attributes)
    assert refusal(headers).refusal is Refusal.NO_RESCALE


def test_one_slice_twice_is_refused() -> None:
    assert refusal(ct_headers((*EVEN, 0))).refusal is Refusal.DUPLICATE_POSITIONS


def test_the_extent_grows_while_slices_arrive() -> None:
    assert extent_of([]) == (False, 0.0)
    assert extent_of(ct_headers((0,))) == (False, 0.0)
    assert extent_of(ct_headers((0, 5, 10))) == (True, 10.0)
    assert extent_of(ct_headers((0, 5, 15, 20))) == (False, 20.0)
    assert extent_of(ct_headers()) == (True, 145.0)


@pytest.mark.real_data
def test_the_real_tilted_ge_head_passes(real_data: Path) -> None:
    assert volume_gate(headers_in(real_data / "head_ct_ge")).coverage_mm == pytest.approx(144.088, abs=1e-3)


@pytest.mark.real_data
def test_of_the_real_plastic_head_only_the_whole_series_passes(real_data: Path) -> None:
    folder = real_data / "philips_plastic_head"
    assert volume_gate(headers_in(folder / "S2010")).coverage_mm == pytest.approx(135)
    # Only some of the thin slices are there.
    assert refusal(headers_in(folder / "S2020")).refusal is Refusal.MISSING_SLICES
    assert refusal(headers_in(folder / "S2030")).refusal is Refusal.MISSING_SLICES
    assert refusal(headers_in(folder / "S1000")).refusal is Refusal.TOO_FEW_SLICES


@pytest.mark.real_data
@pytest.mark.parametrize("series", ["sliceincrement/001", "sliceincrement/002", "notavolume/001"])
def test_real_awkward_geometry_is_refused(real_data: Path, series: str) -> None:
    assert refusal(headers_in(real_data / "awkward" / "geometry" / series)).refusal is Refusal.TOO_FEW_SLICES

from __future__ import annotations

import doctest
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.dicom import geometry
from dicomnode.dicom.geometry import affine_of, gaps_of, obliquity_deg, stack_of, tilt_deg, weights_of
from dicomnode.dicom.headers import SliceHeader, header_of
from dicomnode.errors import InconsistentGeometry, Refusal
from tests.tools.series import ct_headers, ct_series, points_of, stack_from, tilted, voxel_points


def slices_of(*offsets_mm: float, **keywords: object) -> list[SliceHeader]:
    return [SliceHeader.of(header) for header in ct_headers(offsets_mm, **keywords)]


def folder_slices(folder: Path) -> list[SliceHeader]:
    files = [path for path in sorted(folder.iterdir()) if pydicom.misc.is_dicom(path)]
    return [SliceHeader.of(header_of(pydicom.dcmread(path, stop_before_pixels=True))) for path in files]


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(geometry)
    assert result.attempted >= 3
    assert result.failed == 0


def test_slices_are_sorted_along_the_normal_whatever_their_order() -> None:
    stack = stack_of(slices_of(10, 0, 5, 15))
    assert stack.order == (1, 2, 0, 3)
    assert stack.offsets_mm.tolist() == [0, 5, 10, 15]
    assert stack.positions_mm[:, 2].tolist() == [0, 5, 10, 15]
    assert stack.coverage_mm == 15
    assert stack.shear == (0.0, 0.0)


def test_a_stack_with_a_downward_normal_ascends_along_that_normal() -> None:
    # Rows run left to right, columns from back to front: row x column points to the feet.
    stack = stack_of(slices_of(0, 5, 10, orientation=(1, 0, 0, 0, -1, 0)))
    assert stack.normal.tolist() == [0, 0, -1]
    assert stack.offsets_mm.tolist() == [0, 5, 10]
    assert stack.positions_mm[:, 2].tolist() == [0, -5, -10]


def test_a_tilted_stack_keeps_its_positions_and_says_its_tilt() -> None:
    # The table moves 5 mm along z, the gantry leans by 30 degrees: 5 cos 30 = 4.3301 mm along the normal, and the
    # origin drifts by -5 sin 30 = -2.5 mm along the columns.
    planes = slices_of(*(np.arange(6) * 5 * np.cos(np.radians(30))), orientation=tilted(30))
    stack = stack_of(planes)
    np.testing.assert_allclose(stack.positions_mm[:, 2], np.arange(6) * 5, atol=1e-5)
    np.testing.assert_allclose(stack.spacings_mm, 4.330127, atol=1e-5)
    assert stack.shear[0] == 0.0
    assert stack.shear[1] == pytest.approx(-2.5 / 4.330127, abs=1e-5)
    assert tilt_deg(stack) == pytest.approx(30, abs=1e-3)
    assert obliquity_deg(stack) == pytest.approx(30, abs=1e-3)


def test_an_oblique_reformat_is_oblique_but_not_tilted() -> None:
    planes = slices_of(0, 0, 0, 0, orientation=tilted(30))
    normal = np.array([0.0, 0.5, np.sqrt(0.75)])
    moved = [replace(plane, position_mm=tuple(3.0 * i * normal)) for i, plane in enumerate(planes)]
    stack = stack_of(moved)
    np.testing.assert_allclose(stack.offsets_mm, [0, 3, 6, 9], atol=1e-6)
    assert tilt_deg(stack) == 0.0
    assert obliquity_deg(stack) == pytest.approx(30, abs=1e-3)


def test_two_slices_each_stand_for_their_distance() -> None:
    assert stack_of(slices_of(0, 7)).weights_mm.tolist() == [7, 7]


def test_weights_are_half_the_distance_to_each_neighbour() -> None:
    # 4 mm, one step of 1, then 7: inner slices (4+4)/2, (4+1)/2, (1+7)/2, (7+7)/2; end slices 4 and 7.
    assert weights_of([0, 4, 8, 9, 16, 23]).tolist() == [4, 4, 2.5, 4, 7, 7]


@given(st.lists(st.floats(0.3, 12), min_size=1, max_size=60))
def test_weights_sum_to_the_coverage_and_half_of_each_end_gap(gaps: list[float]) -> None:
    offsets = np.concatenate([[0.0], np.cumsum(gaps)])
    assert weights_of(offsets).sum() == pytest.approx(offsets[-1] + gaps[0] / 2 + gaps[-1] / 2)


@pytest.mark.parametrize(
    ("offsets", "missing"),
    [
        ([0, 5, 10, 15, 20], ()),
        ([0, 5, 10, 20, 25], (2,)),  # one lost in the middle
        ([0, 5, 10, 20], (2,)),  # the last but one
        ([0, 10, 15, 20], (0,)),  # the second
        ([0, 5, 20, 25], (1,)),  # two lost together
        ([0, 5, 15, 20, 30, 35], (1, 3)),  # two lost apart
        ([0, 4, 8, 15, 22], ()),  # a lasting change of spacing
        ([0, 7, 14, 18, 22], ()),
        ([0, 4, 8, 9.08, 16.08, 23.08], ()),  # two table runs that nearly meet
        ([0, 5, 10, 17.5], ()),  # exactly 1.5 times
        ([0, 5, 10, 17.6], (2,)),
        ([0, 30], ()),  # nothing to compare with
    ],
)
def test_a_gap_is_where_a_distance_exceeds_all_its_neighbours(offsets: list[float], missing: tuple[int, ...]) -> None:
    assert gaps_of(offsets) == missing


@given(st.lists(st.floats(0.5, 12), min_size=2, max_size=40))
def test_gaps_do_not_depend_on_the_direction(gaps: list[float]) -> None:
    offsets = np.concatenate([[0.0], np.cumsum(gaps)])
    mirrored = gaps_of((offsets[-1] - offsets)[::-1])
    assert sorted(len(gaps) - 1 - gap for gap in mirrored) == list(gaps_of(offsets))


def test_the_affine_of_an_even_stack_agrees_with_the_voxel_positions() -> None:
    stack = stack_from(
        ct_series((0, 2.5, 5, 7.5), matrix=6, pixel_spacing_mm=(0.5, 0.7), orientation=(0, 1, 0, -1, 0, 0))
    )
    affine = affine_of(stack)
    # slice 2, row 3, column 4: 4 columns along +y by 0.7, 3 rows along -x by 0.5, 2 slices along +z by 2.5.
    np.testing.assert_allclose((affine @ [4, 3, 2, 1])[:3], stack.positions_mm[0] + np.array([-1.5, 2.8, 5.0]))
    index = np.indices((4, 6, 6)).reshape(3, -1)
    homogeneous = np.vstack([index[::-1], np.ones(index.shape[1])])
    np.testing.assert_allclose((affine @ homogeneous)[:3].T, voxel_points(stack).reshape(-1, 3), atol=1e-9)


@pytest.mark.parametrize(
    "planes", [slices_of(0, 4, 8, 15), slices_of(0, 5, 10, orientation=tilted(10))], ids=["uneven", "tilted"]
)
def test_a_stack_that_is_no_grid_has_no_affine(planes: list[SliceHeader]) -> None:
    with pytest.raises(InconsistentGeometry) as caught:
        affine_of(stack_of(planes))
    assert caught.value.refusal is Refusal.UNEVEN_STACK


def test_voxel_positions_of_a_tilted_uneven_stack_follow_each_slice() -> None:
    stack = stack_from(ct_series((0, 4, 11), matrix=4, pixel_spacing_mm=(2.0, 3.0), orientation=tilted(20)))
    sine, cosine = np.sin(np.radians(20)), np.cos(np.radians(20))
    expected = stack.positions_mm[2] + np.array([3.0 * 3, 1 * 2 * cosine, -1 * 2 * sine])
    np.testing.assert_allclose(points_of(stack, [(2, 1, 3)]), [expected], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"position_mm": None}, Refusal.NO_GEOMETRY),
        ({"orientation": None}, Refusal.NO_GEOMETRY),
        ({"pixel_spacing_mm": None}, Refusal.NO_GEOMETRY),
        ({"pixel_spacing_mm": (0.0, 0.5)}, Refusal.NO_GEOMETRY),
        ({"rows": None}, Refusal.NO_GEOMETRY),
        ({"orientation": (1.0, 0.0, 0.0, 0.5, 0.5, 0.0)}, Refusal.NO_GEOMETRY),
        ({"rows": 256}, Refusal.MIXED_SIZE),
        ({"pixel_spacing_mm": (7.0, 7.001)}, Refusal.MIXED_SIZE),
        ({"orientation": tilted(2)}, Refusal.MIXED_ORIENTATION),
        ({"position_mm": (-28.0, -28.0, 10.005)}, Refusal.DUPLICATE_POSITIONS),
    ],
)
def test_slices_that_contradict_each_other_are_refused_by_name(change: dict[str, object], refusal: Refusal) -> None:
    planes = slices_of(0, 5, 10, 15)
    assert stack_of(planes).order == (0, 1, 2, 3)
    planes[3] = replace(planes[3], **change)
    with pytest.raises(InconsistentGeometry) as caught:
        stack_of(planes)
    assert caught.value.refusal is refusal


@pytest.mark.parametrize("count", [0, 1])
def test_less_than_two_slices_are_no_stack(count: int) -> None:
    with pytest.raises(InconsistentGeometry) as caught:
        stack_of(slices_of(*range(count)))
    assert caught.value.refusal is Refusal.TOO_FEW_SLICES


def test_directions_rounded_by_the_scanner_become_exactly_perpendicular() -> None:
    stack = stack_of(slices_of(0, 5, 10, orientation=(0.9998, 0.0175, 0, -0.0175, 0.9997, 0)))
    assert stack.row_cosines @ stack.column_cosines == pytest.approx(0, abs=1e-15)
    assert np.linalg.norm(stack.normal) == pytest.approx(1, abs=1e-15)


@pytest.mark.real_data
def test_the_tilted_ge_head_with_two_spacings_has_weights_by_hand(real_data: Path) -> None:
    stack = stack_of(folder_slices(real_data / "head_ct_ge"))
    # z steps of 4.22, 1.14 and 7.38 mm times the cosine of 18.5 degrees, 0.948324.
    thin, step, thick = 4.22 * 0.9483237, 1.14 * 0.9483237, 7.38 * 0.9483237
    expected = [thin] * 13 + [(thin + step) / 2, (step + thick) / 2] + [thick] * 13
    np.testing.assert_allclose(stack.weights_mm, expected, atol=1e-5)
    assert stack.order == tuple(range(28))
    assert tilt_deg(stack) == pytest.approx(18.5, abs=1e-3)
    assert gaps_of(stack.offsets_mm) == ()


@pytest.mark.real_data
@pytest.mark.parametrize("series", ["001", "002"])
def test_the_real_missing_slice_is_found(real_data: Path, series: str) -> None:
    stack = stack_of(folder_slices(real_data / "awkward" / "geometry" / "sliceincrement" / series))
    assert gaps_of(stack.offsets_mm) == (2,)


@pytest.mark.real_data
def test_four_real_images_at_one_position_are_no_stack(real_data: Path) -> None:
    with pytest.raises(InconsistentGeometry) as caught:
        stack_of(folder_slices(real_data / "awkward" / "geometry" / "notavolume" / "001"))
    assert caught.value.refusal is Refusal.DUPLICATE_POSITIONS

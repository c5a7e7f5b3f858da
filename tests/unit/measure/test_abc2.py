"""ABC/2 against lengths and volumes worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from dicomnode.measure.abc2 import abc2_ml, diameters, slice_shares
from dicomnode.records import Stack
from tests.unit.encode.cases import TILTED_UNEVEN, Geometry, ellipsoid, stack_of_geometry

FINE = Geometry(tuple(2.0 * i for i in range(40)), rows=160, columns=160, row_spacing_mm=0.5, column_spacing_mm=0.5)


def abc2_of(mask: NDArray[np.bool_], stack: Stack) -> float | None:
    """ABC/2 of one connected region, in millilitres; None where the mask is empty.

    Parameters
    ----------
    mask : (slices, rows, columns), on the stack's own slices.
    """
    areas = mask.sum(axis=(1, 2)).astype(np.float64)
    if not areas.any():
        return None
    widest = diameters(mask[int(np.argmax(areas))], stack.row_spacing_mm, stack.column_spacing_mm)
    return abc2_ml(widest.longest_mm, widest.perpendicular_mm, areas, stack.weights_mm)


def test_the_published_example_gives_20_ml() -> None:
    areas = np.array([1.0, 0.9, 0.8, 0.6, 0.3, 0.1])
    assert abc2_ml(50.0, 40.0, areas, np.full(6, 5.0)) == pytest.approx(20.0, abs=1e-12)


def test_slices_count_full_half_or_not_at_their_limits() -> None:
    shares = slice_shares(np.array([100.0, 75.1, 75.0, 25.0, 24.9, 0.0]))
    assert shares.tolist() == [1, 1, 0.5, 0.5, 0, 0]


def test_each_slice_of_an_uneven_stack_counts_with_its_own_weight() -> None:
    weights = np.array([4.0, 4.0, 5.5, 7.0])
    assert abc2_ml(30.0, 20.0, np.array([10.0, 9.0, 5.0, 2.0]), weights) == pytest.approx(30 * 20 * 10.75 / 2000)


def test_a_rectangle_is_measured_from_corner_to_corner() -> None:
    plane = np.zeros((40, 40), dtype=bool)
    plane[10:14, 5:8] = True  # 4 rows of 2 mm by 3 columns of 2 mm: 8 by 6 mm
    measured = diameters(plane, 2.0, 2.0)
    assert measured.longest_mm == pytest.approx(10.0)
    # The chord at a right angle to the diagonal, through a corner: short side x diagonal / long side.
    assert measured.perpendicular_mm == pytest.approx(6 * 10 / 8)


def test_rows_and_columns_have_their_own_spacing() -> None:
    plane = np.zeros((9, 9), dtype=bool)
    plane[2:5, 4] = True
    measured = diameters(plane, 1.0, 4.0)  # 3 mm down, 4 mm across
    assert measured.longest_mm == pytest.approx(5.0)


def test_one_voxel_has_the_extent_of_a_pixel() -> None:
    plane = np.zeros((5, 5), dtype=bool)
    plane[2, 2] = True
    measured = diameters(plane, 1.0, 1.0)
    assert (measured.longest_mm, measured.perpendicular_mm) == pytest.approx((2**0.5, 2**0.5))


def test_an_empty_plane_has_no_diameter() -> None:
    with pytest.raises(ValueError, match="empty"):
        diameters(np.zeros((4, 4), dtype=bool), 1.0, 1.0)


def test_an_oblique_bar_is_measured_along_itself() -> None:
    rows, columns = np.mgrid[0:200, 0:200]
    along = (rows - 100) * 0.6 + (columns - 100) * 0.8
    across = -(rows - 100) * 0.8 + (columns - 100) * 0.6
    plane = (abs(along) <= 60) & (abs(across) <= 5)
    measured = diameters(plane, 1.0, 1.0)
    assert measured.longest_mm == pytest.approx(np.hypot(120, 10), abs=2)
    # For a long bar the diagonal is nearly its axis, and the chord across it nearly its width.
    assert measured.perpendicular_mm == pytest.approx(10, abs=2.5)


def test_an_ellipsoid_has_its_axes_and_half_their_product_is_near_its_volume() -> None:
    stack = stack_of_geometry(FINE)
    mask = ellipsoid(stack, (40.0, 80, 80), (20, 25, 15))
    measured = diameters(mask[20], stack.row_spacing_mm, stack.column_spacing_mm)
    assert (measured.longest_mm, measured.perpendicular_mm) == pytest.approx((50, 30), rel=0.03)
    true_ml = 4 / 3 * np.pi * 20 * 25 * 15 / 1000
    assert measured.longest_mm * measured.perpendicular_mm * 40 / 2000 == pytest.approx(true_ml, rel=0.05)


def test_the_slice_rule_shortens_an_ellipsoid_of_thin_slices() -> None:
    stack = stack_of_geometry(FINE)
    mask = ellipsoid(stack, (40.0, 80, 80), (20, 25, 15))
    # An area of 1 - t^2 is above 75 % for |t| < 0.5 and above 25 % for |t| < 0.866 of the half height of 20 mm.
    height_mm = 2 * 20 * (0.5 + (0.75**0.5 - 0.5) / 2)
    assert abc2_of(mask, stack) == pytest.approx(50 * 30 * height_mm / 2000, rel=0.06)


def test_a_tilted_uneven_stack_is_measured_along_its_normal() -> None:
    stack = stack_of_geometry(TILTED_UNEVEN)
    mask = np.zeros((10, stack.rows, stack.columns), dtype=bool)
    mask[3:8, 20:40, 30:50] = True  # 20 rows of 0.9 mm, 20 columns of 1 mm
    diagonal = np.hypot(18, 20)
    height = 4 + 4 + 2.54 + 4.04 + 7
    chord = 18 * diagonal / 20
    assert abc2_of(mask, stack) == pytest.approx(diagonal * chord * height / 2000, rel=1e-9)


def test_an_empty_mask_has_no_abc2() -> None:
    stack = stack_of_geometry(FINE)
    assert abc2_of(np.zeros((40, 160, 160), dtype=bool), stack) is None


@settings(max_examples=60, deadline=None)
@given(arrays(bool, (7, 9), elements=st.booleans()).filter(lambda plane: bool(plane.any())))
def test_the_longest_diameter_is_the_largest_distance_between_any_two_corners(plane: np.ndarray) -> None:
    pixels = np.argwhere(plane)
    corners = np.concatenate([pixels + np.array([i, j]) for i in (0, 1) for j in (0, 1)]) * (0.7, 1.1)
    largest = np.linalg.norm(corners[:, None] - corners[None], axis=2).max()
    measured = diameters(plane, 0.7, 1.1)
    assert measured.longest_mm == pytest.approx(largest)
    assert 0 < measured.perpendicular_mm <= measured.longest_mm + 1e-9

"""A volume seen at points of the patient: exact for a linear field, whatever the stack."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnode.measure.anatomy.sampling import coarse, voxel_points_mm
from dicomnode.records import Stack, Volume
from tests.unit.encode.cases import EVEN, TILTED_UNEVEN, Geometry, stack_of_geometry

SLOPE = np.array([0.5, -0.25, 2.0])


def linear(stack: Stack) -> Volume:
    """HU = slope . position, so that every interpolation that is right gives the field itself."""
    index = np.indices((len(stack.order), stack.rows, stack.columns)).reshape(3, -1).T
    hu = voxel_points_mm(stack, index) @ SLOPE
    volume = hu.reshape(len(stack.order), stack.rows, stack.columns).astype(np.float32)
    return Volume(volume, stack, tuple(f"1.2.{number}" for number in range(len(stack.order))))


@pytest.mark.parametrize("geometry", [EVEN, TILTED_UNEVEN], ids=["even", "tilted and uneven"])
@pytest.mark.parametrize("size_mm", [0.1, 3.0])
def test_a_linear_field_is_seen_as_it_is(geometry: Geometry, size_mm: float) -> None:
    stack = stack_of_geometry(geometry)
    seen = coarse(linear(stack), size_mm)
    middle = seen.points_mm()[1:-1, 2:-2, 2:-2].reshape(-1, 3)
    points = middle[:: max(1, len(middle) // 200)] + np.array([0.1, 0.2, 0.05])
    assert seen.at(points) == pytest.approx(points @ SLOPE, abs=0.02)


def test_beyond_the_first_and_the_last_slice_nothing_is_seen() -> None:
    stack = stack_of_geometry(EVEN)
    seen = coarse(linear(stack), 0.1)
    above = seen.points_mm()[-1, 5, 5] + stack.normal * 3.0
    below = seen.points_mm()[0, 5, 5] - stack.normal * 3.0
    assert np.isnan(seen.at(np.stack([above, below]))).all()

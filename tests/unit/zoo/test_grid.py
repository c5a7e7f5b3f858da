"""From slices to a regular grid and back, against a field whose value anywhere can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.records import Volume
from dicomnode.zoo.grid import LPS_TO_RAS, on_source_slices, regular_grid
from tests.tools.series import points_of
from tests.unit.zoo.volumes import make_volume, stored_otherwise

EVEN = np.arange(20) * 5.0
UNEVEN = np.array([0, 4, 8, 12, 16, 20, 24, 25.1, 32, 39, 46, 53, 60.0])


def field(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """A value that grows evenly along each axis: linear interpolation is exact on it."""
    return np.asarray(points_mm @ np.array([1.0, -2.0, 3.0]) + 40.0)


def stack(offsets_mm: NDArray[np.float64], tilt_deg: float) -> Volume:
    """Slices of 24 x 20 pixels of 3 x 2 mm, stacked along z with a tilted gantry, with the field in them."""
    angle = np.radians(tilt_deg)
    column = np.array([0.0, np.cos(angle), -np.sin(angle)])
    positions = np.array([-20.0, -30.0, 100.0]) + offsets_mm[:, None] * np.array([0.0, 0.0, 1.0 / np.cos(angle)])
    shape = (len(offsets_mm), 24, 20)
    empty = make_volume(np.zeros(shape, np.float32), positions, np.array([1.0, 0, 0]), column, (3.0, 2.0))
    values = field(points_of(empty.stack, np.indices(shape).reshape(3, -1).T)).reshape(shape)
    return make_volume(values.astype(np.float32), positions, np.array([1.0, 0, 0]), column, (3.0, 2.0))


def seen_at(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The field at every voxel of a grid."""
    index = np.indices(shape).reshape(3, -1).T
    ras = index @ affine[:3, :3].T + affine[:3, 3]
    return field(ras @ LPS_TO_RAS[:3, :3]).reshape(shape)


def test_an_even_stack_is_a_grid_as_it_is() -> None:
    volume = stack(EVEN, 0.0)
    grid, affine = regular_grid(volume)
    assert np.array_equal(grid.numpy(), volume.hu.transpose(2, 1, 0))
    assert np.allclose(affine, [[-2, 0, 0, 20], [0, -3, 0, 30], [0, 0, 5, 100], [0, 0, 0, 1]])


@pytest.mark.parametrize(("offsets", "tilt"), [(EVEN, 18.5), (EVEN, -12.0), (UNEVEN, 0.0), (UNEVEN, 18.5)])
def test_a_tilted_or_uneven_stack_is_resampled_by_position(offsets: NDArray[np.float64], tilt: float) -> None:
    volume = stack(offsets, tilt)
    grid, affine = regular_grid(volume)
    inside = grid.numpy() > -400.0
    assert inside.mean() > 0.6
    # at the rim of the image two slices and the air around them mix; two lines further in the field is exact
    kept = ndimage.binary_erosion(inside, np.ones((5, 5, 1), bool))
    assert kept.mean() > 0.35
    error = np.abs(grid.numpy() - seen_at(affine, tuple(grid.shape)))[kept]
    assert error.max() < 0.01
    assert np.linalg.norm(affine[:3, 2]) == pytest.approx(5.0 if offsets is EVEN else 4.0)


@pytest.mark.parametrize("change", [None, "rows", "columns", "both", "transposed"])
@pytest.mark.parametrize(("offsets", "tilt"), [(EVEN, 0.0), (EVEN, 18.5), (UNEVEN, 18.5)])
def test_every_source_pixel_asks_at_its_own_place(
    offsets: NDArray[np.float64], tilt: float, change: str | None
) -> None:
    volume = stack(offsets, tilt)
    volume = volume if change is None else stored_otherwise(volume, change)
    affine = np.array([[4.0, 0, 0, -60], [0, 3.5, 0, -80], [0, 0, 2.5, 50], [0, 0, 0, 1.0]])
    grid = torch.from_numpy(seen_at(affine, (30, 50, 70)).astype(np.float32))[None]
    seen = torch.stack(list(on_source_slices(grid, affine, volume.stack)))[:, 0]
    assert np.abs(seen.numpy() - volume.hu).max() < 0.02


def test_outside_the_grid_there_is_nothing() -> None:
    volume = stack(EVEN, 0.0)
    # one voxel of 10 mm around (0, 0, 150) in LPS, which is pixel (10, 10) of slice 10
    affine = np.array([[10.0, 0, 0, 0], [0, 10, 0, 0], [0, 0, 10, 150], [0, 0, 0, 1.0]])
    seen = torch.stack(list(on_source_slices(torch.ones(1, 1, 1, 1), affine, volume.stack)))[:, 0].numpy()
    slices, rows, columns = np.nonzero(seen)
    assert (set(slices), set(rows), set(columns)) == ({9, 10, 11}, {9, 10, 11}, {8, 9, 10, 11, 12})
    assert set(np.unique(seen)) == {0.0, 1.0}

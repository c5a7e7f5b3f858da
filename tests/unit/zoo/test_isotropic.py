"""A CT on cubes: every voxel shows the place that the affine says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from dicomnode.records import Volume
from dicomnode.zoo.grid import LPS_TO_RAS
from dicomnode.zoo.isotropic import isotropic
from tests.unit.zoo.volumes import make_volume, stored_otherwise

X, Y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])


def field(places_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """HU that say where they are: linear, so that linear interpolation is exact."""
    return np.asarray(places_mm @ np.array([2.0, 3.0, 5.0]) + 10.0, np.float32)


def shown(offsets_mm: list[float], down: NDArray[np.float64], row_mm: float, column_mm: float) -> Volume:
    """Slices of 20 x 30 pixels at table positions, rows running along ``down``."""
    positions = np.array([-7.0, 4.0, 0.0]) + np.outer(offsets_mm, [0.0, 0.0, 1.0])
    plane = np.arange(20)[:, None, None] * down * row_mm + np.arange(30)[None, :, None] * X * column_mm
    return make_volume(field(positions[:, None, None] + plane), positions, X, down, (row_mm, column_mm))


def places(values: torch.Tensor, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(z, y, x, 3) LPS millimetres of each voxel."""
    z, y, x = np.indices(values.shape)
    ras = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ affine.T
    return np.asarray((ras @ LPS_TO_RAS.T)[..., :3])


EVEN = [0.0, 5.0, 10.0, 15.0]


@pytest.mark.parametrize("change", ["none", "rows", "columns", "both", "transposed"])
def test_however_a_head_is_stored_its_cubes_lie_where_they_did(change: str) -> None:
    volume = shown(EVEN, Y, 0.5, 0.7)
    values, affine = isotropic(volume if change == "none" else stored_otherwise(volume, change), 1.0)
    assert values.shape == (16, 11, 21)  # (n - 1) spacings, rounded, and one
    assert np.allclose(np.diag(affine[:3, :3]), [-1.0, -1.0, 1.0])
    assert np.allclose(values.numpy()[:, :10, :20], field(places(values, affine))[:, :10, :20], atol=1e-2)


def test_uneven_slices_are_interpolated_by_their_position() -> None:
    values, affine = isotropic(shown([0.0, 3.0, 8.0, 13.0], Y, 0.5, 0.7), 1.0)
    # the grid between the slices has steps of 5 mm, and ends where these no longer fill the last one
    assert np.allclose(values.numpy()[:11, :10, :20], field(places(values, affine))[:11, :10, :20], atol=1e-2)


def test_tilted_slices_are_set_upright() -> None:
    down = np.array([0.0, np.cos(0.2), -np.sin(0.2)])
    values, affine = isotropic(shown(EVEN, down, 0.5, 0.7), 1.0)
    assert np.allclose(np.linalg.norm(affine[:3, :3], axis=0), 1.0)
    shown_there = values.numpy() > 0.0
    shown_there[15:] = False  # beyond the last slice
    inside = binary_erosion(shown_there)
    assert inside.mean() > 0.35
    assert np.allclose(values.numpy()[inside], field(places(values, affine))[inside], atol=1e-2)

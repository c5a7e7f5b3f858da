"""Planes are the same however many slices are resampled together, and are cut on the device that is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dicomnode.records import Volume
from dicomnode.zoo import planes
from dicomnode.zoo.orientation import orientation_of
from dicomnode.zoo.planes import PlaneGrid, from_planes, plane_grid, to_planes, with_neighbours
from tests.unit.zoo.test_grid import UNEVEN, stack

SIZE, PIXEL_MM = 16, 4.0


@pytest.fixture
def tilted() -> Volume:
    return stack(UNEVEN, 12.0)


def grid_of(volume: Volume) -> PlaneGrid:
    """Planes about a box in the middle."""
    brain = np.zeros(volume.hu.shape, bool)
    brain[:, 6:18, 5:15] = True
    return plane_grid(volume, brain, SIZE, PIXEL_MM)


def there_and_back(volume: Volume) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The planes of a volume, and what comes back of them."""
    slices, rows, columns = volume.hu.shape
    cut = to_planes(volume, grid_of(volume))
    return cut.numpy(), from_planes(cut, grid_of(volume), (slices, rows, columns))


@pytest.mark.parametrize("at_once", [1, 5])
def test_it_does_not_matter_how_many_slices_are_resampled_together(
    tilted: Volume, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    assert len(tilted.hu) < planes.AT_ONCE
    whole = there_and_back(tilted)
    monkeypatch.setattr(planes, "AT_ONCE", at_once)
    in_portions = there_and_back(tilted)
    assert all(np.array_equal(one, other) for one, other in zip(whole, in_portions, strict=True))


def test_planes_are_cut_where_the_network_is(tilted: Volume) -> None:
    # Tensors on "meta" have no values; whatever mixes them with tensors on the CPU fails, as on a card.
    elsewhere = torch.device("meta")
    cut = to_planes(tilted, grid_of(tilted), elsewhere)
    read = with_neighbours(cut, orientation_of(tilted.stack).offsets_mm(tilted.stack))
    assert (cut.device, cut.shape) == (elsewhere, (len(tilted.hu), SIZE, SIZE))
    assert (read.device, read.shape) == (elsewhere, (3, len(tilted.hu), SIZE, SIZE))

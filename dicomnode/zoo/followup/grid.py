"""A head on the coarse grid of the network, and what the network says back on the slices of the scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.records import Volume
from dicomnode.zoo.head_check import brain_mask
from dicomnode.zoo.networks.head_grid import HeadGrid, grid_about
from dicomnode.zoo.networks.lighter import lighter
from dicomnode.zoo.planes import AIR_HU

SHAPE, VOXEL_MM = (24, 64, 64), (6.0, 3.0, 3.0)
"""Slabs from below to the crown, rows to the back, columns to the left: what lies deeper than 132 mm below the top of
the brain is not predicted."""
VOXEL_ML = VOXEL_MM[0] * VOXEL_MM[1] * VOXEL_MM[2] / 1000.0
LIMITS_HU = (-200.0, 400.0)
"""From the brain; what is beyond does not differ for the network."""


@dataclass(frozen=True, slots=True)
class FollowUpHead:
    """A head as the network reads it.

    Attributes
    ----------
    grid : where it lies. image : (2, 24, 64, 64) float32: HU from the brain's commonest, and share within the skull.
    """

    grid: HeadGrid
    image: torch.Tensor


def head_of(volume: Volume) -> FollowUpHead:
    """A head CT on the grid.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``.
    """
    grid = grid_about(volume, brain_of(volume), SHAPE, VOXEL_MM)
    return FollowUpHead(grid, torch.stack([relative_hu(grid, volume.hu, grid.brain_hu), within_of(grid)]))


def relative_hu(grid: HeadGrid, hu: NDArray[np.float32], brain_hu: float) -> torch.Tensor:
    """(24, 64, 64) HU from the brain's commonest, of HU on the slices of the scan."""
    seen = grid.sampled(grid.planes.orientation.to_canonical(hu), AIR_HU)
    return (seen - brain_hu).clamp(*LIMITS_HU)


def within_of(grid: HeadGrid) -> torch.Tensor:
    """(24, 64, 64) share of each voxel that lies within the skull."""
    return grid.sampled(grid.brain.astype(np.float32), 0.0)


def brain_of(volume: Volume) -> NDArray[np.bool_]:
    """(slices, rows, columns) bool in stack order, the space within the skull, found on pixels of a millimetre.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD``, ``NOT_AXIAL``.
    """
    light = lighter(volume)
    found = brain_mask(light)
    down, across = (volume.hu.shape[axis] // light.hu.shape[axis] for axis in (1, 2))
    fine = found.repeat(down, axis=1).repeat(across, axis=2)
    brain = np.zeros(volume.hu.shape, bool)
    brain[:, : fine.shape[1], : fine.shape[2]] = fine
    return brain

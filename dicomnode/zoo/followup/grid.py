"""A head on the coarse grid of the network, and what the network says back on the slices of the scan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import max_pool3d

from dicomnode.records import Volume
from dicomnode.zoo.head_check import brain_mask
from dicomnode.zoo.networks.head_grid import HeadGrid, grid_about, slab_weights
from dicomnode.zoo.networks.lighter import lighter
from dicomnode.zoo.planes import AIR_HU

SHAPE, VOXEL_MM = (24, 64, 64), (6.0, 3.0, 3.0)
"""Slabs from below to the crown, rows to the back, columns to the left: what lies deeper than 132 mm below the top of
the brain is not predicted."""
VOXEL_ML = VOXEL_MM[0] * VOXEL_MM[1] * VOXEL_MM[2] / 1000.0
LIMITS_HU = (-200.0, 400.0)
"""From the brain; what is beyond does not differ for the network."""
WITHIN = 0.9
"""Share within the skull from which a voxel counts as brain."""
WITHIN_SLAB = 3
"""Thinner slabs of each slab, the densest of which is told: how dense staining is decides what comes of it, and a slab
as thick as this averages it with brain."""


@dataclass(frozen=True, slots=True)
class FollowUpHead:
    """A head as the network reads it.

    Attributes
    ----------
    grid : where it lies. image : (3, 24, 64, 64) float32: HU from the brain's commonest, share within the skull, and
        the densest of what each slab averages, HU from the brain's commonest.
    """

    grid: HeadGrid
    image: torch.Tensor

    @property
    def inner(self) -> torch.Tensor:
        """(24, 64, 64) bool, see :func:`inner`."""
        return inner(self.image[1][None])[0]


def head_of(volume: Volume) -> FollowUpHead:
    """A head CT on the grid.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``.
    """
    grid = grid_about(volume, brain_of(volume), SHAPE, VOXEL_MM)
    mean = relative_hu(grid, volume.hu, grid.brain_hu)
    return FollowUpHead(grid, torch.stack([mean, within_of(grid), densest_of(grid, volume)]))


def densest_of(grid: HeadGrid, volume: Volume) -> torch.Tensor:
    """(24, 64, 64) HU from the brain's commonest, the highest of the thinner slabs that each slab holds."""
    offsets_mm = grid.planes.orientation.offsets_mm(volume.stack)
    lowest_mm, thin_mm = offsets_mm[0] - grid.at_slab[0] * VOXEL_MM[0], VOXEL_MM[0] / WITHIN_SLAB
    wanted_mm = lowest_mm + thin_mm * (np.arange(SHAPE[0] * WITHIN_SLAB) - (WITHIN_SLAB - 1) / 2)
    fine = replace(grid, weights=slab_weights(offsets_mm, wanted_mm, thin_mm))
    thin = relative_hu(fine, volume.hu, grid.brain_hu)
    return thin.reshape(SHAPE[0], WITHIN_SLAB, *SHAPE[1:]).amax(dim=1)


def relative_hu(grid: HeadGrid, hu: NDArray[np.float32], brain_hu: float) -> torch.Tensor:
    """(slabs, 64, 64) HU from the brain's commonest, of HU on the slices of the scan."""
    seen = grid.sampled(grid.planes.orientation.to_canonical(hu), AIR_HU)
    return (seen - brain_hu).clamp(*LIMITS_HU)


def within_of(grid: HeadGrid) -> torch.Tensor:
    """(24, 64, 64) share of each voxel that lies within the skull."""
    return grid.sampled(grid.brain.astype(np.float32), 0.0)


def inner(within: torch.Tensor) -> torch.Tensor:
    """(heads, slabs, rows, columns) bool of shares within the skull: all but the outermost, with bone in them."""
    outside: torch.Tensor = max_pool3d((within < WITHIN).float(), 3, stride=1, padding=1)
    return outside == 0.0


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

"""A head on one small grid, whatever the scan: what networks that judge whole heads read.

Planes as those of the haemorrhage model (gantry tilt undone, centred on the brain), averaged to slabs from the crown
down. HU are counted from the commonest attenuation of the brain, since scanners differ by some HU and oedema is a
matter of a few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import Volume
from dicomnode.zoo.head_check import brain_mask
from dicomnode.zoo.networks.lighter import lighter
from dicomnode.zoo.planes import AIR_HU, PlaneGrid, from_planes, plane_grid, planes_of, tent

SHAPE = (32, 96, 96)
"""Slabs from below to the crown, rows to the back, columns to the left."""
VOXEL_MM = (5.0, 2.0, 2.0)
VOXEL_ML = VOXEL_MM[0] * VOXEL_MM[1] * VOXEL_MM[2] / 1000.0
ABOVE_BRAIN_MM = 12.0
"""Of the uppermost slab above the uppermost slice with brain."""
WINDOW_HU = (-30.0, 50.0)
"""Below and above the brain: fluid to fresh blood. What is darker or brighter is cut off."""
STEPS = 255
USUAL_BRAIN_HU = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadGrid:
    """Where the grid of one volume lies.

    Attributes
    ----------
    planes : in the plane of the slices.
    weights : (slabs, slices) of each slice in each slab, canonical order; rows of 0 lie outside of the scan.
    brain : (slices, rows, columns) bool in canonical orientation, the space within the skull.
    brain_hu : commonest attenuation of the brain.
    at_slab : (slices,) which slab each slice lies at, in canonical order; a fraction lies between two.
    """

    planes: PlaneGrid
    weights: torch.Tensor
    brain: NDArray[np.bool_]
    brain_hu: float
    at_slab: NDArray[np.float64]

    def sampled(self, values: NDArray[np.float32], outside: float) -> torch.Tensor:
        """(slabs, rows, columns) of values on the slices of the scan.

        Parameters
        ----------
        values : (slices, rows, columns) in canonical orientation, such as HU or a mask.
        outside : what lies outside of the scan.
        """
        planes = planes_of(values, self.planes, outside) - outside
        slabs: torch.Tensor = torch.tensordot(self.weights, planes, dims=1) + outside
        return slabs

    def on_slices(self, values: torch.Tensor, shape: tuple[int, int, int]) -> NDArray[np.float32]:
        """(slices, rows, columns) in stack order of values (slabs, rows, columns), by linear interpolation; 0 outside.

        Parameters
        ----------
        shape : of the scan.
        """
        between = tent(torch.from_numpy(self.at_slab.astype(np.float32))[None], len(values), 1.0)[0]
        return from_planes(torch.tensordot(between, values, dims=1), self.planes, shape)


def grid_of(volume: Volume) -> HeadGrid:
    """The grid of a head CT.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``.
    """
    return grid_about(volume, brain_mask(volume))


def grid_about(
    volume: Volume,
    brain: NDArray[np.bool_],
    shape: tuple[int, int, int] = SHAPE,
    voxel_mm: tuple[float, float, float] = VOXEL_MM,
) -> HeadGrid:
    """A grid about the brain of a head CT.

    Parameters
    ----------
    brain : (slices, rows, columns) bool in stack order, not empty.
    shape, voxel_mm : slabs, rows, columns; rows and columns are as many, and as large.
    """
    planes = plane_grid(volume, brain, shape[1], voxel_mm[1])
    offsets_mm = planes.orientation.offsets_mm(volume.stack)
    canonical = planes.orientation.to_canonical(brain)
    top_mm = float(offsets_mm[canonical.any(axis=(1, 2))].max()) + ABOVE_BRAIN_MM
    wanted_mm = top_mm - voxel_mm[0] * np.arange(shape[0], dtype=np.float64)[::-1]
    inside = volume.hu[brain]
    found = commonest_soft_tissue_hu(inside) if inside.size else None
    return HeadGrid(
        planes=planes,
        weights=slab_weights(offsets_mm, wanted_mm, voxel_mm[0]),
        brain=canonical,
        brain_hu=USUAL_BRAIN_HU if found is None else found,
        at_slab=(offsets_mm - wanted_mm[0]) / voxel_mm[0],
    )


def slab_weights(
    offsets_mm: NDArray[np.float64], wanted_mm: NDArray[np.float64], slab_mm: float = VOXEL_MM[0]
) -> torch.Tensor:
    """(slabs, slices) triangular weights that sum to 1 for each slab within the scan, to 0 outside.

    Parameters
    ----------
    offsets_mm : (slices,) ascending; the distances may vary.
    wanted_mm : (slabs,) middle of each slab.
    slab_mm : distance of the slabs.
    """
    gaps_mm = np.diff(offsets_mm)
    reach_mm = max(slab_mm, float(gaps_mm.max(initial=slab_mm)))
    weights = np.clip(1.0 - np.abs(wanted_mm[:, None] - offsets_mm[None, :]) / reach_mm, 0.0, None)
    # thin slices count by how much of the patient they show
    thickness_mm = np.gradient(offsets_mm) if offsets_mm.size > 1 else np.ones_like(offsets_mm)
    weights *= thickness_mm
    edge_mm = slab_mm / 2
    within = (wanted_mm >= offsets_mm[0] - edge_mm) & (wanted_mm <= offsets_mm[-1] + edge_mm)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(within[:, None] & (total > 0), weights / np.maximum(total, 1e-9), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


def windowed(hu: torch.Tensor, brain_hu: float) -> torch.Tensor:
    """HU -> uint8 steps within the window about the brain."""
    low, high = WINDOW_HU
    share = ((hu - brain_hu - low) / (high - low)).clamp(0.0, 1.0)
    return (share * STEPS).round().to(torch.uint8)


def image_on(grid: HeadGrid, volume: Volume) -> torch.Tensor:
    """(32, 96, 96) uint8 of a head CT on its grid."""
    hu = grid.sampled(grid.planes.orientation.to_canonical(volume.hu), AIR_HU)
    return windowed(hu, grid.brain_hu)


def head_image(volume: Volume) -> torch.Tensor:
    """(1, 1, 32, 96, 96) uint8 of a head CT, as networks take it.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD`` no brain within a skull, ``NOT_AXIAL``.
    """
    scan = lighter(volume)
    return image_on(grid_of(scan), scan)[None, None]


def above_brain_hu(image: torch.Tensor) -> torch.Tensor:
    """HU above the brain of steps of the window, or of :func:`as_floats`."""
    low, high = WINDOW_HU
    return (high - low) / 2 * as_floats(image) + (high + low) / 2


def as_floats(image: torch.Tensor) -> torch.Tensor:
    """Steps of the window to about -1 to 1; what is of a float type already stays as it is."""
    return image if image.is_floating_point() else image.float() / (STEPS / 2) - 1.0

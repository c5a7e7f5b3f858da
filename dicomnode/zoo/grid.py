"""From the slices of a CT to a regular grid that a 3D network can read, and from any grid back to the slices.

An even, untilted stack is such a grid as it is. A tilted or uneven one has no affine: each slice is moved in its own
plane to where it lies, and slices in between are interpolated by position. On the way back every source pixel asks the
grid at its own place in the patient, so a mask returns to exactly the slices it came from.

Reference: DICOM PS3.3 C.7.6.2.1.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.dicom.geometry import affine_of
from dicomnode.errors import InconsistentGeometry
from dicomnode.records import Stack, Volume
from dicomnode.zoo.planes import AIR_HU, tent

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
EDGE = 0.5
"""Voxels reach half a voxel beyond their centre; further out a grid says nothing."""


def regular_grid(volume: Volume) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """A CT on a regular grid.

    Returns
    -------
    (columns, rows, slices) float32 HU, and the (4, 4) affine from (column, row, slice, 1) to RAS millimetres, as NIfTI
    and MONAI have it. In plane the grid is that of the slices; between slices it is as fine as the denser part of an
    uneven stack. Air outside.
    """
    try:
        hu, affine = torch.from_numpy(np.ascontiguousarray(volume.hu)), affine_of(volume.stack)
    except InconsistentGeometry:
        hu, affine = _resampled(volume)
    return hu.permute(2, 1, 0), LPS_TO_RAS @ affine


def _resampled(volume: Volume) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """(slices, rows, columns) on a grid perpendicular to the slices, and its affine to LPS."""
    stack = volume.stack
    step_mm = float(np.quantile(stack.spacings_mm, 0.25, method="lower"))
    upright, first_row, first_column = _upright(volume)
    wanted = stack.offsets_mm[0] + step_mm * np.arange(int(np.ceil(stack.coverage_mm / step_mm - 1e-6)) + 1)
    below = np.clip(np.searchsorted(stack.offsets_mm, wanted, side="right") - 1, 0, len(stack.order) - 2)
    share = np.clip((wanted - stack.offsets_mm[below]) / stack.spacings_mm[below], 0.0, 1.0)
    hu = torch.stack([torch.lerp(upright[k], upright[k + 1], float(s)) for k, s in zip(below, share, strict=True)])
    affine = np.eye(4)
    affine[:3, 0] = stack.row_cosines * stack.column_spacing_mm
    affine[:3, 1] = stack.column_cosines * stack.row_spacing_mm
    affine[:3, 2] = stack.normal * step_mm
    affine[:3, 3] = stack.positions_mm[0] + affine[:3, 0] * first_column + affine[:3, 1] * first_row
    return hu, affine


def _upright(volume: Volume) -> tuple[torch.Tensor, int, int]:
    """Slices moved in their own planes so that they stand straight above each other; first row and first column.

    Rows and columns are counted from the origin of the lowest slice.
    """
    stack = volume.stack
    moved = stack.positions_mm - stack.positions_mm[0]
    rows = moved @ stack.column_cosines / stack.row_spacing_mm
    columns = moved @ stack.row_cosines / stack.column_spacing_mm
    down, first_row = _shifts(rows, stack.rows)
    across, first_column = _shifts(columns, stack.columns)
    hu = torch.from_numpy(np.ascontiguousarray(volume.hu)) - AIR_HU
    return down @ hu @ across.transpose(1, 2) + AIR_HU, first_row, first_column


def _shifts(drift: NDArray[np.float64], count: int) -> tuple[torch.Tensor, int]:
    """(slices, targets, count) interpolation weights for lines that start at ``drift``, and the first target line."""
    first, last = int(np.floor(drift.min())), int(np.ceil(drift.max())) + count
    targets = np.arange(first, last)[None, :] - drift[:, None]
    return tent(torch.from_numpy(targets.astype(np.float32)), count, 1.0), first


def volume_on(volume: Volume, stack: Stack, motion: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """A CT at the pixels of the slices of another one, (slices, rows, columns) HU in stack order; air elsewhere.

    Parameters
    ----------
    stack : of the other one.
    motion : (4, 4) from where a point lies in the other one to where it lies in ``volume``, RAS mm; None: it is there.
    """
    grid, affine = regular_grid(volume)
    if motion is not None:
        affine = np.linalg.inv(motion) @ affine
    slices = on_source_slices((grid - AIR_HU)[None].contiguous(), affine, stack)
    return np.asarray((torch.cat(list(slices)) + AIR_HU).numpy(), np.float32)


def on_source_slices(values: torch.Tensor, affine: NDArray[np.float64], stack: Stack) -> Iterator[torch.Tensor]:
    """Values of a grid at the pixels of each source slice, by linear interpolation; 0 outside the grid.

    Parameters
    ----------
    values : (channels, i, j, k) float32 on any regular grid.
    affine : (4, 4) from (i, j, k, 1) to RAS millimetres.

    Yields
    ------
    (channels, rows, columns) float32 for each slice in stack order.
    """
    sizes = np.array(values.shape[1:])
    for index in places_of(affine, stack):
        inside = torch.from_numpy(((index >= -EDGE) & (index <= sizes - 1 + EDGE)).all(axis=-1))
        yield _sampled(values, index, sizes) * inside


def places_of(affine: NDArray[np.float64], stack: Stack) -> Iterator[NDArray[np.float64]]:
    """Where the pixels of each source slice lie on a grid.

    Parameters
    ----------
    affine : (4, 4) from (i, j, k, 1) to RAS millimetres.

    Yields
    ------
    (rows, columns, 3) fractional (i, j, k) for each slice in stack order.
    """
    to_index = np.linalg.inv(affine) @ LPS_TO_RAS
    per_row = to_index[:3, :3] @ stack.column_cosines * stack.row_spacing_mm
    per_column = to_index[:3, :3] @ stack.row_cosines * stack.column_spacing_mm
    plane = np.arange(stack.rows)[:, None, None] * per_row + np.arange(stack.columns)[None, :, None] * per_column
    for position in stack.positions_mm:
        yield plane + (to_index[:3, :3] @ position + to_index[:3, 3])


def _sampled(values: torch.Tensor, index: NDArray[np.float64], sizes: NDArray[np.int_]) -> torch.Tensor:
    """(channels, rows, columns) at fractional indices (rows, columns, 3); the grid's edge goes on outside."""
    normalised = 2.0 * index / np.maximum(sizes - 1, 1) - 1.0
    # grid_sample wants the last axis first
    places = torch.from_numpy(normalised[..., ::-1].astype(np.float32))[None, None]
    seen = torch.nn.functional.grid_sample(values[None], places, "bilinear", "border", align_corners=True)
    return seen[0, :, 0]

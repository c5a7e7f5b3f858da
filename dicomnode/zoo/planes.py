"""From a CT volume to the planes a slice-wise model reads, and back to the source grid.

Planes are square, of a fixed pixel size, centred on the brain, in canonical orientation. Gantry tilt is undone by
moving each slice in its own plane, uneven spacing is met by choosing neighbours by position: nothing is interpolated
between slices, so a mask returns to exactly the slices it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.records import Stack, Volume
from dicomnode.zoo.orientation import Orientation, orientation_of

AIR_HU = -1000.0
NEIGHBOUR_MM = 5.0
"""Wanted distance of the slice below and the slice above."""
SLAB_MM = 2.45
"""Slices no further than this from the wanted position are averaged to a slab of some 5 mm, as radiologists read brain:
thin ones are too noisy alone. No usual distance of slices has a multiple just here, so rounding decides nothing."""
AT_ONCE = 16
"""Slices that are resampled together: of the pixels of the scan and their weights only so many lie on a device."""
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class PlaneGrid:
    """Where the planes of one volume lie on its canonical slices.

    Attributes
    ----------
    size : rows and columns of a plane.
    pixel_mm : of a plane.
    centre_rows, centre_columns : (slices,) canonical pixel index under the middle of each plane.
    """

    orientation: Orientation
    size: int
    pixel_mm: float
    centre_rows: NDArray[np.float64]
    centre_columns: NDArray[np.float64]


def _drift(stack: Stack, orientation: Orientation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(slices,) canonical pixel index, relative to slice 0, of the point straight along the normal from its origin."""
    moved = stack.positions_mm - stack.positions_mm[0]
    along_columns, along_rows = moved @ stack.row_cosines, moved @ stack.column_cosines
    if orientation.transpose:
        along_columns, along_rows = along_rows, along_columns
    rows = -along_rows / orientation.row_spacing_mm * (-1.0 if orientation.flip_rows else 1.0)
    columns = -along_columns / orientation.column_spacing_mm * (-1.0 if orientation.flip_columns else 1.0)
    if orientation.flip_slices:
        rows, columns = rows[::-1], columns[::-1]
    return rows, columns


def _middle(mask: NDArray[np.bool_], axis: int, drift: NDArray[np.float64]) -> float:
    """Middle of the extent of the mask along an in-plane axis, with the drift taken out."""
    lines = mask.any(axis=3 - axis)
    slices, index = np.nonzero(lines)
    straight = index - drift[slices]
    return float((np.percentile(straight, 0.5) + np.percentile(straight, 99.5)) / 2)


def plane_grid(volume: Volume, brain: NDArray[np.bool_], size: int, pixel_mm: float) -> PlaneGrid:
    """Planes centred on the brain.

    Parameters
    ----------
    brain : (slices, rows, columns) bool in stack order, not empty.
    """
    orientation = orientation_of(volume.stack)
    canonical = orientation.to_canonical(brain)
    rows, columns = _drift(volume.stack, orientation)
    return PlaneGrid(
        orientation,
        size,
        pixel_mm,
        _middle(canonical, 1, rows) + rows,
        _middle(canonical, 2, columns) + columns,
    )


def tent(targets: torch.Tensor, count: int, width: float) -> torch.Tensor:
    """(slices, targets, count) triangular weights of half width ``width`` pixels that sum to 1; zero outside."""
    index = torch.arange(count, dtype=torch.float32, device=targets.device)
    weights = torch.clamp(1.0 - (targets[..., None] - index).abs() / width, min=0.0)
    outside = (targets < -0.5) | (targets > count - 0.5)
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)
    return weights.masked_fill(outside[..., None], 0.0)


def _plane_indices(centres: NDArray[np.float64], size: int, pixel_mm: float, spacing_mm: float) -> torch.Tensor:
    line = (torch.arange(size, dtype=torch.float32) - (size - 1) / 2) * (pixel_mm / spacing_mm)
    return torch.as_tensor(np.ascontiguousarray(centres), dtype=torch.float32)[:, None] + line


def to_planes(volume: Volume, grid: PlaneGrid, device: torch.device = CPU) -> torch.Tensor:
    """(slices, size, size) float32 HU in canonical orientation, averaged down to the plane's pixels; air outside.

    Parameters
    ----------
    device : where it is computed and then lies.
    """
    return planes_of(grid.orientation.to_canonical(volume.hu), grid, AIR_HU, device)


def planes_of(values: NDArray[np.float32], grid: PlaneGrid, outside: float, device: torch.device = CPU) -> torch.Tensor:
    """(slices, size, size) float32 of any values, averaged down to the plane's pixels.

    Parameters
    ----------
    values : (slices, rows, columns) in canonical orientation, such as HU or a mask.
    outside : what lies beyond the slices' edges.
    device : as :func:`to_planes`.
    """
    o = grid.orientation
    rows = _plane_indices(grid.centre_rows, grid.size, grid.pixel_mm, o.row_spacing_mm)
    columns = _plane_indices(grid.centre_columns, grid.size, grid.pixel_mm, o.column_spacing_mm)
    row_width, column_width = (max(1.0, grid.pixel_mm / mm) for mm in (o.row_spacing_mm, o.column_spacing_mm))
    planes = []
    for some in _portions(len(values)):
        known = torch.from_numpy(np.ascontiguousarray(values[some])).to(device) - outside
        down = tent(rows[some].to(device), known.shape[1], row_width)
        across = tent(columns[some].to(device), known.shape[2], column_width)
        planes.append(down @ known @ across.transpose(1, 2) + outside)
    return torch.cat(planes)


def from_planes(values: torch.Tensor, grid: PlaneGrid, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Bring planes back to the source grid by linear interpolation in plane, computed where they lie.

    Parameters
    ----------
    values : (slices, size, size), canonical order; outside the planes the result is 0.
    shape : (slices, rows, columns) of the source.

    Returns
    -------
    (slices, rows, columns) float32 in stack order and source orientation.
    """
    o = grid.orientation
    rows, columns = (shape[2], shape[1]) if o.transpose else (shape[1], shape[2])
    down = _back_indices(grid.centre_rows, rows, grid, o.row_spacing_mm)
    across = _back_indices(grid.centre_columns, columns, grid, o.column_spacing_mm)
    back = np.empty(shape, np.float32)
    canonical = o.to_canonical(back)
    for some in _portions(len(values)):
        left, right = (tent(places[some].to(values.device), grid.size, 1.0) for places in (down, across))
        canonical[some] = (left @ values[some] @ right.transpose(1, 2)).cpu().numpy()
    return back


def _portions(slices: int) -> Iterator[slice]:
    return (slice(first, first + AT_ONCE) for first in range(0, slices, AT_ONCE))


def _back_indices(centres: NDArray[np.float64], count: int, grid: PlaneGrid, spacing_mm: float) -> torch.Tensor:
    index = torch.arange(count, dtype=torch.float32)
    centre = torch.as_tensor(np.ascontiguousarray(centres), dtype=torch.float32)[:, None]
    return (index - centre) * (spacing_mm / grid.pixel_mm) + (grid.size - 1) / 2


def neighbour_weights(offsets_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """(3, slices, slices) weights that make the slice below, the slice itself and the slice above.

    The slices within ``SLAB_MM`` of the wanted position are averaged; where there is none, the nearest one is taken.

    Parameters
    ----------
    offsets_mm : (slices,) ascending toward the crown.
    """
    result = np.zeros((3, offsets_mm.size, offsets_mm.size), np.float32)
    for channel, shift in enumerate((-NEIGHBOUR_MM, 0.0, NEIGHBOUR_MM)):
        distance = np.abs(offsets_mm[None, :] - (offsets_mm[:, None] + shift))
        chosen = (distance <= SLAB_MM) | (distance <= distance.min(axis=1, keepdims=True) + 1e-6)
        result[channel] = chosen / chosen.sum(axis=1, keepdims=True)
    return result


def with_neighbours(planes: torch.Tensor, offsets_mm: NDArray[np.float64]) -> torch.Tensor:
    """(3, slices, size, size) from (slices, size, size): slice below, itself, slice above as channels."""
    weights = torch.from_numpy(neighbour_weights(offsets_mm)).to(planes.device)
    return torch.einsum("cij,jhw->cihw", weights, planes)

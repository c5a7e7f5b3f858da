"""A volume seen at any points of the patient, whatever the spacing, the tilt or the gaps of its slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from dicomnode.measure.blocks import block_means
from dicomnode.records import Stack, Volume

COARSE_MM = 3.0
"""Voxels of this size are all that the frame looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """A volume averaged to voxels of about ``COARSE_MM``.

    Attributes
    ----------
    hu : (slices, rows, columns) float32.
    offsets_mm : (slices,) along the normal, ascending.
    origins_mm : (slices, 3) centre of the first voxel of each slice, patient coordinates.
    across, down : (3,) step to the next column, to the next row, mm.
    normal : (3,)
    """

    hu: NDArray[np.float32]
    offsets_mm: NDArray[np.float64]
    origins_mm: NDArray[np.float64]
    across: NDArray[np.float64]
    down: NDArray[np.float64]
    normal: NDArray[np.float64]

    def indices_of(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(3, points) fractional slice, row and column; the slice is -1 beyond the first or the last.

        Parameters
        ----------
        points_mm : (points, 3) patient coordinates.
        """
        along = points_mm @ self.normal
        count = len(self.offsets_mm)
        slices = np.interp(along, self.offsets_mm, np.arange(count), left=-1.0, right=-1.0)
        origin = np.stack([np.interp(along, self.offsets_mm, axis) for axis in self.origins_mm.T], axis=1)
        away = points_mm - origin
        rows = away @ self.down / (self.down @ self.down)
        columns = away @ self.across / (self.across @ self.across)
        return np.stack([slices, rows, columns])

    def at(self, points_mm: NDArray[np.float64]) -> NDArray[np.float32]:
        """(points,) HU by linear interpolation; NaN outside of the volume."""
        index = self.indices_of(points_mm)
        hu = map_coordinates(self.hu, index, order=1, mode="constant", cval=np.nan, prefilter=False)
        hu[index[0] < 0] = np.nan
        return np.asarray(hu, np.float32)

    def points_mm(self) -> NDArray[np.float64]:
        """(slices, rows, columns, 3) patient coordinates of the voxels."""
        _, rows, columns = self.hu.shape
        plane = np.arange(rows)[:, None, None] * self.down + np.arange(columns)[None, :, None] * self.across
        return np.asarray(self.origins_mm[:, None, None, :] + plane)


def coarse(volume: Volume, size_mm: float = COARSE_MM) -> Coarse:
    """Average a volume to voxels of about ``size_mm``; slices that lie further apart stay as they are."""
    stack = volume.stack
    steps = [max(1, round(size_mm / mm)) for mm in (stack.row_spacing_mm, stack.column_spacing_mm)]
    groups = np.floor((stack.offsets_mm - stack.offsets_mm[0]) / size_mm + 1e-6)
    starts = np.flatnonzero(np.diff(groups, prepend=-1.0))
    counts = np.diff(np.append(starts, len(groups)))
    summed = np.add.reduceat(block_means(volume.hu, *steps), starts, axis=0)
    down, across = stack.column_cosines * stack.row_spacing_mm, stack.row_cosines * stack.column_spacing_mm
    middle = (steps[0] - 1) / 2 * down + (steps[1] - 1) / 2 * across
    return Coarse(
        hu=(summed / counts[:, None, None]).astype(np.float32),
        offsets_mm=np.add.reduceat(stack.offsets_mm, starts) / counts,
        origins_mm=np.add.reduceat(stack.positions_mm, starts, axis=0) / counts[:, None] + middle,
        across=across * steps[1],
        down=down * steps[0],
        normal=np.asarray(stack.normal, np.float64),
    )


def voxel_points_mm(stack: Stack, index: NDArray[np.intp]) -> NDArray[np.float64]:
    """(points, 3) patient coordinates of voxels.

    Parameters
    ----------
    index : (points, 3) slice, row, column, in stack order.
    """
    down = index[:, 1, None] * stack.row_spacing_mm * stack.column_cosines
    across = index[:, 2, None] * stack.column_spacing_mm * stack.row_cosines
    return np.asarray(stack.positions_mm[index[:, 0]] + down + across)

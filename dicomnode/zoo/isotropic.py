"""A CT on a grid of equal edges, as 3D networks with a voxel size of their own want it.

As the field's tools do: no smoothing, linear interpolation between the voxels' centres, the first voxel stays where it
is, and the axes stay those of the slices (tilted slices are set upright first, see :mod:`dicomnode.zoo.grid`).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.records import Volume
from dicomnode.zoo.grid import LPS_TO_RAS, regular_grid
from dicomnode.zoo.planes import tent


def isotropic(volume: Volume, voxel_mm: float) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """An axial CT on cubes.

    Returns
    -------
    (z, y, x) float32 HU, z toward the crown, y toward the back, x to the left; and the (4, 4) affine from
    (x, y, z, 1) to RAS millimetres.
    """
    grid, affine = regular_grid(volume)
    grid, affine = _canonical(grid, LPS_TO_RAS @ affine)
    values = grid.permute(2, 1, 0).contiguous()
    spacings_mm = np.linalg.norm(affine[:3, :3], axis=0)
    x, y, z = (
        _weights(count, voxel_mm / float(spacing_mm)) for count, spacing_mm in zip(grid.shape, spacings_mm, strict=True)
    )
    values = torch.tensordot(z, y @ (values @ x.T), dims=1)
    affine[:3, :3] *= voxel_mm / spacings_mm
    return values, LPS_TO_RAS @ affine


def _canonical(grid: torch.Tensor, affine: NDArray[np.float64]) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """Axes exchanged and turned until each runs along its own axis of the patient, as nearly as whole turns allow.

    Parameters
    ----------
    affine : (4, 4) from index to LPS millimetres.
    """
    order = [int(axis) for axis in np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax(axis=1)]
    grid, affine = grid.permute(order), affine[:, [*order, 3]]
    turned = [axis for axis in range(3) if affine[axis, axis] < 0]
    for axis in turned:
        affine[:3, 3] += affine[:3, axis] * (grid.shape[axis] - 1)
        affine[:3, axis] *= -1.0
    return grid.flip(turned), affine


def _weights(count: int, step: float) -> torch.Tensor:
    """(voxels, count) weights that interpolate at every ``step`` of ``count`` voxels, from the first on."""
    wanted = torch.arange(round((count - 1) / step) + 1, dtype=torch.float32) * step
    return tent(wanted.clamp(max=count - 1)[None], count, 1.0)[0]

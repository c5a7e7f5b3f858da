"""Edges of volumes, as the masked autoencoder of heads is to restore them.

Reference: ViT-AE++ (Prabhakar et al., MIDL 2023): the gradients of what is decoded against those of the smoothed head.
"""

from __future__ import annotations

import torch
from torch.nn import functional

SMOOTH = (1.0, 2.0, 1.0)
SLOPE = (-1.0, 0.0, 1.0)


def sobel(volumes: torch.Tensor) -> torch.Tensor:
    """(volumes, 3, ...) gradient along slabs, rows and columns of (volumes, 1, ...), per voxel.

    Of a ramp that rises by 1 a voxel the gradient is 1.
    """
    smooth, slope = torch.tensor(SMOOTH) / 4.0, torch.tensor(SLOPE) / 2.0
    kernels = []
    for axis in range(3):
        a, b, c = (slope if other == axis else smooth for other in range(3))
        kernels.append(a[:, None, None] * b[None, :, None] * c[None, None, :])
    weight = torch.stack(kernels)[:, None].to(volumes)
    return functional.conv3d(functional.pad(volumes, (1,) * 6, mode="replicate"), weight)


def blurred(volumes: torch.Tensor, sigma: float) -> torch.Tensor:
    """(volumes, 1, ...) smoothed by a Gaussian of ``sigma`` voxels, which is cut off at two deviations."""
    reach = int(2 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    line = torch.exp(-(at**2) / (2 * sigma**2))
    line = (line / line.sum()).to(volumes)
    for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        kernel = line.reshape(1, 1, *shape)
        pad = [side for size in reversed(kernel.shape[2:]) for side in (size // 2, size // 2)]
        volumes = functional.conv3d(functional.pad(volumes, pad, mode="replicate"), kernel)
    return volumes

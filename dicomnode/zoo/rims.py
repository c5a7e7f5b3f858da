"""Drops thin marks along bone: where the scanner mixes skull into brain, a rim looks as bright as blood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage


def _disc(radius: int) -> NDArray[np.bool_]:
    """(1, n, n) disc: works within slices."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius + 0.5)[None]


def rims(marked: NDArray[np.bool_], bone: NDArray[np.bool_], thickness: int, reach: int) -> NDArray[np.bool_]:
    """Marked pixels that belong to nothing thicker than a rim and lie along bone.

    Parameters
    ----------
    marked, bone : (slices, rows, columns) bool.
    thickness : marks of at least this many pixels across are never touched.
    reach : marks further than this many pixels from bone are never touched.
    """
    result: NDArray[np.bool_] = np.zeros_like(marked)
    # most slices have no mark, and all work is within slices
    busy = marked.any(axis=(1, 2))
    marked, bone = marked[busy], bone[busy]
    thick = ndimage.binary_opening(marked, np.ones((1, thickness, thickness), bool))
    kept = ndimage.binary_dilation(thick, _disc(2)) & marked
    near = ndimage.binary_dilation(bone, _disc(reach))
    result[busy] = marked & near & ~kept
    return result


class DropRimsd:
    """Dictionary transform (MONAI style): sets the probability of rims along bone to 0.

    Parameters
    ----------
    threshold : probability above which a pixel is marked.
    bone_hu : above it a pixel is bone.
    thickness, reach : see :func:`rims`.
    """

    def __init__(self, threshold: float = 0.5, bone_hu: float = 150.0, thickness: int = 3, reach: int = 4) -> None:
        self.threshold, self.bone_hu, self.thickness, self.reach = threshold, bone_hu, thickness, reach

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """{"pred": (outputs, slices, rows, columns) probability, "hu": (3, slices, rows, columns)} -> without rims."""
        prediction = torch.as_tensor(data["pred"]).clone()
        bone = (torch.as_tensor(data["hu"])[1] > self.bone_hu).cpu().numpy()
        for channel in prediction:
            marked = (channel > self.threshold).cpu().numpy()
            channel[torch.from_numpy(rims(marked, bone, self.thickness, self.reach)).to(channel.device)] = 0.0
        return {**data, "pred": prediction}

"""Images that a model is to predict, on the slices of the image that it predicts them from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.images.files import read_image
from dicomnode.records import Stack, Volume
from dicomnode.zoo.grid import on_source_slices, regular_grid
from dicomnode.zoo.planes import AIR_HU


def target_on(path: Path, stack: Stack) -> NDArray[np.float32]:
    """A target in HU at the pixels of the slices of another image, by linear interpolation in the patient.

    Both are taken to lie in one frame of reference: a follow-up must have been registered to its baseline. Air where
    the target does not reach.

    Parameters
    ----------
    stack : of the image.

    Returns
    -------
    (slices, rows, columns) float32 in stack order.

    Raises
    ------
    ReadError, SeriesError : the target cannot be used.
    """
    return volume_on(read_image(path), stack)


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

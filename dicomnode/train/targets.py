"""Images that a model is to predict, on the slices of the image that it predicts them from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.images.files import read_image
from dicomnode.records import Stack
from dicomnode.zoo.grid import volume_on


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

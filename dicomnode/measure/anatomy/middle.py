"""Where the mid-sagittal plane passes the septum, told from how unlike the two sides of a head are.

A frame is a millimetre or two off across the midline beside a large bleed, since it is found by fluid too, which the
bleed has moved. What is left of the error is told by linear regression from the differences of bone, air and fluid at
places that lie opposite each other (``dicomnode.train.anatomy.middle``). A mirrored head has the opposite correction.
"""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.frame import CHANNELS, Frame, features, grid_mm
from dicomnode.measure.anatomy.sampling import Coarse

MOST_MM = 4.0
"""A correction that is larger has seen something else."""


@functools.cache
def opposite() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the points of the grid on the left, and of those that lie opposite."""
    points = np.rint(grid_mm()).astype(int)
    places = {tuple(point): number for number, point in enumerate(points.tolist())}
    left = [number for number, (x, _, _) in enumerate(points.tolist()) if x > 0]
    right = [places[-x, y, z] for x, y, z in points[left].tolist()]
    return np.array(left), np.array(right)


@functools.cache
def learned() -> NDArray[np.float32]:
    """(differences,) weights that ship with the node."""
    with resources.files(__package__).joinpath("middle.npz").open("rb") as file, np.load(file) as arrays:
        return np.asarray(arrays["weights"], np.float32)


def differences(seen: Coarse, frame: Frame, brain_hu: float) -> NDArray[np.float32]:
    """(differences,) left less right of bone, air and fluid; 0 where either side is not seen.

    Parameters
    ----------
    seen : with voxels of about 3 mm.
    brain_hu : commonest attenuation of these.
    """
    values, is_seen = features(seen, frame.matrix, brain_hu)
    left, right = opposite()
    by_channel, seen_by = values.reshape(CHANNELS, -1), is_seen.reshape(CHANNELS, -1)
    found = np.where(seen_by[:, left] & seen_by[:, right], by_channel[:, left] - by_channel[:, right], 0.0)
    return found.astype(np.float32).ravel()


def middle_mm(seen: Coarse, frame: Frame, brain_hu: float) -> float:
    """Where the mid-sagittal plane passes the septum, x in the frame."""
    return float(np.clip(differences(seen, frame, brain_hu) @ learned(), -MOST_MM, MOST_MM))

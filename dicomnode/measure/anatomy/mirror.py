"""The same place across the midline: what a lesion is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.sampling import Coarse

SOFT_HU = (-20.0, 90.0)
"""What is neither fat nor bone."""
LEAST_SOFT = 0.5
"""Share of a lesion that must have soft tissue across from it."""
MOST_POINTS = 5000
"""So many voxels of a lesion tell its mean to a fraction of a HU."""


def mirrored_mm(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(points, 3) head coordinates across the mid-sagittal plane.

    >>> mirrored_mm(np.array([[30.0, -4.0, 6.0]])).tolist()
    [[-30.0, -4.0, 6.0]]
    """
    return points_mm * [-1.0, 1.0, 1.0]


def mirror_hu(seen: Coarse, frame: Frame, points_mm: NDArray[np.float64]) -> float | None:
    """Mean attenuation across the midline from a lesion; None where no brain lies there or the scan ends.

    Parameters
    ----------
    seen : with voxels of about 3 mm, so that noise is averaged.
    points_mm : (voxels, 3) of the lesion, head coordinates.
    """
    some = points_mm[:: max(1, len(points_mm) // MOST_POINTS)]
    hu = seen.at(frame.to_patient(mirrored_mm(some)))
    soft = hu[(hu > SOFT_HU[0]) & (hu < SOFT_HU[1])]
    return float(soft.mean()) if len(soft) >= LEAST_SOFT * len(some) else None

"""The falx before and behind the ventricles: its two ends carry the ideal midline.

It shows as a thin bright sheet (with the sagittal sinus behind), also where brain has moved aside. Where it is not
seen, the frame's own mid-sagittal plane stands in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.sampling import Coarse

SIDE_MM = np.arange(-16.0, 17.0, 1.0)
REACH_MM = 7.0
"""The sheet lies nearer to the frame's plane than this."""
FRONT_MM, BACK_MM = np.arange(-78.0, -38.0, 2.0), np.arange(45.0, 85.0, 2.0)
UP_MM = np.arange(12.0, 52.0, 3.0)
SOFT_HU = (-10.0, 100.0)
LEAST_HU, LEAST_OF_NOISE = 1.5, 4.0
"""Height of the sheet above what lies beside it, for one that is seen: in HU, and in standard errors."""


@dataclass(frozen=True, slots=True)
class Falx:
    """Where the falx is, head coordinates in mm.

    Attributes
    ----------
    front_mm, back_mm : x in front and behind.
    """

    front_mm: float
    back_mm: float

    def at(self, y_mm: float) -> float:
        """x of the line between both ends."""
        first, last = float(FRONT_MM.mean()), float(BACK_MM.mean())
        share = (y_mm - first) / (last - first)
        return self.front_mm + share * (self.back_mm - self.front_mm)


IN_PLANE = Falx(0.0, 0.0)
"""In the frame's own plane."""


def find_falx(seen: Coarse, frame: Frame, brain_hu: float) -> Falx:
    """Look for the falx near the mid-sagittal plane of a frame; where one end is not seen, it lies in that plane.

    Parameters
    ----------
    seen : with voxels of about a millimetre.
    """
    front, back = (_sheet_mm(_profiles(seen, frame, where) - brain_hu) for where in (FRONT_MM, BACK_MM))
    return IN_PLANE if front is None or back is None else Falx(front, back)


def _profiles(seen: Coarse, frame: Frame, back_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """(lines, x) soft tissue across the plane; NaN elsewhere."""
    z, y, x = np.meshgrid(UP_MM, back_mm, SIDE_MM, indexing="ij")
    hu = seen.at(frame.to_patient(np.stack([x, y, z], axis=-1).reshape(-1, 3))).reshape(-1, len(SIDE_MM))
    return np.where((hu > SOFT_HU[0]) & (hu < SOFT_HU[1]), hu, np.nan)


def _sheet_mm(lines: NDArray[np.float32]) -> float | None:
    """x of a bright sheet; None where none stands out."""
    counts = np.isfinite(lines).sum(axis=0)
    if counts.min() < 30:
        return None
    mean, error = np.nanmean(lines, axis=0), np.nanstd(lines, axis=0) / np.sqrt(counts)
    excess = gaussian_filter1d(mean, 1.0) - gaussian_filter1d(mean, 6.0)
    inner = np.abs(SIDE_MM) <= REACH_MM
    peak = int(np.flatnonzero(inner)[np.argmax(excess[inner])])
    if excess[peak] < max(LEAST_HU, LEAST_OF_NOISE * float(np.median(error))):
        return None
    around = slice(max(0, peak - 3), peak + 4)
    weight = np.clip(excess[around], 0.0, None)
    return float((SIDE_MM[around] * weight).sum() / weight.sum())

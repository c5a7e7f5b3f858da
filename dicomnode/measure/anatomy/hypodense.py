"""What share of the cerebrum is hypodense: oedema, infarct, or white matter as it is in old age.

Looked at is what lies within the skull above its base, away from the bone, without fluid, blood and what touches them:
partial volume is no oedema. What is darker than brain by ``DARK_HU`` is counted, whatever its cause. What lies across
the midline does not tell the causes apart: heads without a lesion are uneven, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_dilation, binary_erosion, binary_fill_holes, uniform_filter

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.sampling import Coarse

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]

STEP_MM = (4.0, 3.0, 3.0)
"""Of the grid: up, back, across."""
UP_MM, BACK_MM, ACROSS_MM = np.arange(-8.0, 69.0, 4.0), np.arange(-108.0, 109.0, 3.0), np.arange(-84.0, 85.0, 3.0)
BRAIN_MM, BRAIN_MIDDLE_MM = (66.0, 84.0, 66.0), (0.0, 0.0, 5.0)
"""Half axes of the ellipsoid that is looked at, and its middle."""
DARK_HU = 8.0
"""So far below the commonest attenuation of the brain, about 22 HU, tissue is hypodense."""
FLUID_HU, DENSE_HU, BONE_HU = 16.0, 15.0, 60.0
"""So far below brain is fluid; so far above it is blood, and bone."""
FROM_BONE = 3
"""Steps of the grid from bone: sulci, partial volume and beam hardening are left out."""
LEAST_SEEN_ML = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cerebrum:
    """What is looked at, on a grid of head coordinates (z, y, x).

    Attributes
    ----------
    hu : counted from brain, smoothed within ``tissue``.
    tissue : brain beyond doubt.
    """

    hu: Field
    tissue: Mask


def hypodense_percent(seen: Coarse, frame: Frame, brain_hu: float) -> float | None:
    """Share of the cerebrum that is hypodense, in percent; None where too little is seen.

    Parameters
    ----------
    seen : with voxels of about 3 mm, so that noise is not taken for oedema.
    """
    head = cerebrum_of(seen, frame, brain_hu)
    total = int(head.tissue.sum())
    if total * float(np.prod(STEP_MM)) / 1000.0 < LEAST_SEEN_ML:
        return None
    return 100.0 * int((head.tissue & (head.hu < -DARK_HU)).sum()) / total


def cerebrum_of(seen: Coarse, frame: Frame, brain_hu: float) -> Cerebrum:
    """Sample a head where only brain should be."""
    points = _points_mm()
    hu = seen.at(frame.to_patient(points)).reshape(len(UP_MM), len(BACK_MM), len(ACROSS_MM)) - brain_hu
    is_seen = np.isfinite(hu)
    hu = np.nan_to_num(hu, nan=0.0)
    inside = _within(hu > BONE_HU) & is_seen & _ellipsoid(points).reshape(hu.shape)
    other = _wider((hu < -FLUID_HU) & inside) | _wider((hu > DENSE_HU) & inside)
    tissue = inside & ~other
    return Cerebrum(hu=_smooth(hu, tissue), tissue=tissue)


def _points_mm() -> NDArray[np.float64]:
    z, y, x = np.meshgrid(UP_MM, BACK_MM, ACROSS_MM, indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def _ellipsoid(points: NDArray[np.float64]) -> Mask:
    return np.asarray((((points - BRAIN_MIDDLE_MM) / BRAIN_MM) ** 2).sum(axis=1) < 1.0)


def _within(bone: Mask) -> Mask:
    """(z, y, x) what bone encloses in each slice, away from it."""
    filled = np.stack([binary_fill_holes(binary_closing(plane)) & ~plane for plane in bone])
    return np.asarray(binary_erosion(filled, np.ones((1, 3, 3)), iterations=FROM_BONE))


def _wider(mask: Mask) -> Mask:
    return np.asarray(binary_dilation(mask, np.ones((1, 3, 3))))


def _smooth(hu: Field, tissue: Mask) -> Field:
    """Mean of the tissue around each voxel."""
    share = uniform_filter(tissue.astype(np.float32), 3)
    summed = uniform_filter(np.where(tissue, hu, 0.0).astype(np.float32), 3)
    return np.asarray(np.where(share > 0.0, summed / np.maximum(share, 1e-3), 0.0), np.float32)

"""Brain that is darker than the mirror region of the other side: infarct, oedema, an old defect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.location import in_ventricles
from dicomnode.measure.anatomy.sampling import coarse
from dicomnode.records import Volume

STEP_MM = 3.0
HALF_MM = (63.0, 81.0, 60.0)
"""Half axes (x, y, z) of the brain that is compared, about ``MIDDLE_MM``: cortex and skull base are left out."""
MIDDLE_MM = (0.0, 0.0, 12.0)
APART_MM = 6.0
"""Nearer to the midline than this, a voxel has no other side."""
DARKER_HU = 5.0
SMOOTH_MM = 4.0
LEAST_ML = 2.0
"""A dark region of this size is no chance."""


def hypodense_ml(volume: Volume, frame: Frame, brain_hu: float) -> tuple[float, float] | None:
    """(left, right) volume of brain darker than its mirror region; None where too little of the brain is seen.

    Compared over some millimetres, so that sulci of the one side do not meet gyri of the other. What is fluid on either
    side, or denser than brain, is not compared.
    """
    points, inside = _grid()
    hu = coarse(volume, STEP_MM).at(frame.to_patient(points.reshape(-1, 3))).reshape(inside.shape)
    brain = inside & (hu > brain_hu - 20.0) & (hu < brain_hu + 15.0)
    if brain.sum() < 0.5 * inside.sum():
        return None
    smooth = _smoothed(np.where(brain, hu, 0.0), brain)
    mirrored = smooth[::-1]
    is_compared = brain & brain[::-1] & np.isfinite(smooth) & np.isfinite(mirrored)
    dark = _large(is_compared & (smooth < mirrored - DARKER_HU) & (smooth < brain_hu - DARKER_HU / 2.0))
    voxel_ml = STEP_MM**3 / 1000.0 / abs(float(np.linalg.det(frame.matrix[:, :3])))
    is_left = points[..., 0] > 0
    return float((dark & is_left).sum() * voxel_ml), float((dark & ~is_left).sum() * voxel_ml)


def _grid() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(x, y, z, 3) head coordinates, symmetric in x, and whether each is brain that is compared."""
    lines = [np.arange(-half, half + STEP_MM / 2.0, STEP_MM) for half in HALF_MM]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1) + MIDDLE_MM
    inside = (((points - MIDDLE_MM) / HALF_MM) ** 2).sum(axis=-1) < 1.0
    wet = in_ventricles(points.reshape(-1, 3)).reshape(inside.shape)
    return points, inside & ~wet & (np.abs(points[..., 0]) > APART_MM)


def _smoothed(hu: NDArray[np.float32], brain: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of the brain around, so that what is no brain does not count; NaN where there is little of it."""
    sigma = SMOOTH_MM / STEP_MM
    weight = ndimage.gaussian_filter(brain.astype(np.float64), sigma)
    total = ndimage.gaussian_filter(hu.astype(np.float64), sigma)
    return np.where(weight > 0.3, total / np.maximum(weight, 0.3), np.nan)


def _large(dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(dark)
    sizes = ndimage.sum_labels(dark, labels, np.arange(count + 1)) * STEP_MM**3 / 1000.0
    return np.asarray(sizes[labels] >= LEAST_ML) & dark

"""Regions of the procedural head, as a label map on the head's own frame.

Borders are planes and ellipsoids in head coordinates (x left, y posterior, z up, millimetres, before warp and
rotation), at the places where :mod:`dicomnode.cohort.brain` paints the same structures. Lobes are parted by the usual
landmarks, simplified: central sulcus, Sylvian fissure, parieto-occipital line, tentorium. They say where a bleed lies
("lobar", "deep", "infratentorial"); they are no atlas of gyri.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import Canvas, Tissue
from dicomnode.cohort.fields import Field, ellipsoid


class Region(IntEnum):
    """Label of a voxel. Left is the patient's left (positive x)."""

    NONE = 0
    FRONTAL_LEFT = 1
    FRONTAL_RIGHT = 2
    PARIETAL_LEFT = 3
    PARIETAL_RIGHT = 4
    TEMPORAL_LEFT = 5
    TEMPORAL_RIGHT = 6
    OCCIPITAL_LEFT = 7
    OCCIPITAL_RIGHT = 8
    BASAL_GANGLIA_LEFT = 9
    BASAL_GANGLIA_RIGHT = 10
    THALAMUS_LEFT = 11
    THALAMUS_RIGHT = 12
    CEREBELLUM_LEFT = 13
    CEREBELLUM_RIGHT = 14
    BRAINSTEM = 15
    VENTRICLES = 16
    MIDLINE = 17


INFRATENTORIAL = frozenset({Region.CEREBELLUM_LEFT, Region.CEREBELLUM_RIGHT, Region.BRAINSTEM})


def _lobe(side: Field, y: Field, z: Field) -> NDArray[np.uint8]:
    """Lobe of the left side for every point of the cerebrum."""
    central = y < -12.0 + 0.25 * z
    occipital = y > 46.0 + 0.2 * np.maximum(z, 0.0)
    result = np.where(central, Region.FRONTAL_LEFT, np.where(occipital, Region.OCCIPITAL_LEFT, Region.PARIETAL_LEFT))
    temporal = (z < 1.0 + 0.12 * (y + 10.0)) & (y > -38.0) & ~occipital & (side > 15.0)
    low = (z < -24.0) & (y > -30.0)
    return np.where(temporal | low, Region.TEMPORAL_LEFT, result).astype(np.uint8)


def _deep(x: Field, side: Field, y: Field, z: Field, lobe: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Basal ganglia, thalamus, cerebellum and brain stem laid over the lobes (labels of the left side)."""
    posterior_fossa = (z < -8.0 - 0.42 * side) & (y > 4.0 + 0.4 * side)
    result = np.where(posterior_fossa, np.uint8(Region.CEREBELLUM_LEFT), lobe)
    ganglia = ellipsoid(side, y, z, (25.0, -6.0, 4.0), (9.5, 20.0, 13.0)) < 0
    thalamus = ellipsoid(side, y, z, (11.0, 6.0, 4.0), (9.5, 14.0, 10.0)) < 0
    stem = (ellipsoid(x, y, z, (0.0, 21.0, -45.0), (14.0, 12.0, 38.0)) < 0) & (z < -7.0)
    result = np.where(ganglia, np.uint8(Region.BASAL_GANGLIA_LEFT), result)
    result = np.where(thalamus, np.uint8(Region.THALAMUS_LEFT), result)
    return np.where(stem, np.uint8(Region.BRAINSTEM), result).astype(np.uint8)


def region_map(canvas: Canvas, cavity: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Region of every voxel.

    Parameters
    ----------
    canvas : painted anatomy (its labels say where ventricles and falx are).
    cavity : (z, y, x) bool, the space within the skull; outside it the region is ``NONE``.

    Returns
    -------
    (z, y, x) uint8 of :class:`Region`.
    """
    x, y, z, tissue = canvas.x[cavity], canvas.y[cavity], canvas.z[cavity], canvas.labels[cavity]
    side = np.abs(x)
    inner = _deep(x, side, y, z, _lobe(side, y, z))
    paired = inner < Region.BRAINSTEM
    inner = inner + (paired & (x < 0)).astype(np.uint8)
    falx = (side < 2.5) & ((np.abs(y) > 32.0) | (z > 28.0)) & (z > -12.0)
    inner[falx & ((tissue == Tissue.DURA) | (tissue == Tissue.CSF))] = Region.MIDLINE
    inner[tissue == Tissue.VENTRICLE] = Region.VENTRICLES
    result = np.zeros(cavity.shape, np.uint8)
    result[cavity] = inner
    return result

"""Regions of a head, in head coordinates: planes and ellipsoids, the same ones that the cohort paints by.

Head coordinates: x left, y posterior, z up, millimetres, origin in the middle of the brain. Lobes are parted by the
usual landmarks, simplified: central sulcus, Sylvian fissure, parieto-occipital line, tentorium. They say where a bleed
lies ("lobar", "deep", "infratentorial"); they are no atlas of gyri.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


class Label(IntEnum):
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


INFRATENTORIAL = frozenset({Label.CEREBELLUM_LEFT, Label.CEREBELLUM_RIGHT, Label.BRAINSTEM})


def labels_at(x: Field, y: Field, z: Field) -> NDArray[np.uint8]:
    """Label of every point of the brain, as if it had neither ventricles nor falx.

    Parameters
    ----------
    x, y, z : head coordinates, of one shape.
    """
    side = np.abs(x)
    found = _deep(x, side, y, z, _lobe(side, y, z))
    return np.asarray(found + ((found < Label.BRAINSTEM) & (x < 0)).astype(np.uint8), np.uint8)


def _lobe(side: Field, y: Field, z: Field) -> NDArray[np.uint8]:
    """Lobe of the left side for every point of the cerebrum."""
    central = y < -12.0 + 0.25 * z
    occipital = y > 46.0 + 0.2 * np.maximum(z, 0.0)
    result = np.where(central, Label.FRONTAL_LEFT, np.where(occipital, Label.OCCIPITAL_LEFT, Label.PARIETAL_LEFT))
    temporal = (z < 1.0 + 0.12 * (y + 10.0)) & (y > -38.0) & ~occipital & (side > 15.0)
    low = (z < -24.0) & (y > -30.0)
    return np.where(temporal | low, Label.TEMPORAL_LEFT, result).astype(np.uint8)


def _deep(x: Field, side: Field, y: Field, z: Field, lobe: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Basal ganglia, thalamus, cerebellum and brain stem laid over the lobes (labels of the left side)."""
    posterior_fossa = (z < -8.0 - 0.42 * side) & (y > 4.0 + 0.4 * side)
    result = np.where(posterior_fossa, np.uint8(Label.CEREBELLUM_LEFT), lobe)
    ganglia = _within(side, y, z, (25.0, -6.0, 4.0), (9.5, 20.0, 13.0))
    thalamus = _within(side, y, z, (11.0, 6.0, 4.0), (9.5, 14.0, 10.0))
    stem = _within(x, y, z, (0.0, 21.0, -45.0), (14.0, 12.0, 38.0)) & (z < -7.0)
    result = np.where(ganglia, np.uint8(Label.BASAL_GANGLIA_LEFT), result)
    result = np.where(thalamus, np.uint8(Label.THALAMUS_LEFT), result)
    return np.where(stem, np.uint8(Label.BRAINSTEM), result).astype(np.uint8)


def _within(
    x: Field, y: Field, z: Field, centre_mm: tuple[float, float, float], half_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Whether points lie in an ellipsoid."""
    terms = [((v - c) / h) ** 2 for v, c, h in zip((x, y, z), centre_mm, half_mm, strict=True)]
    return np.asarray(terms[0] + terms[1] + terms[2] < 1.0)

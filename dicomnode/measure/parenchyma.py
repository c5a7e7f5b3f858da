"""The attenuation of a head's parenchyma: the yardstick against which other tissue is told, whatever the scanner says.

Scanners differ by some HU, 15 at worst. The commonest attenuation within a head is that of its parenchyma, and no
bleed, infarct or atrophy outweighs it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

SEARCHED_HU = (-10.0, 75.0)
"""Parenchyma lies within these on any scanner; muscle is rarer, fat, air and bone lie outside."""
SMOOTH_HU = 3.0


EVERY = 2
"""Rows and columns of a whole scan that its level is read from: a quarter of ten million voxels tells the same."""


def brain_level_hu(hu: NDArray[np.generic]) -> float | None:
    """The commonest soft-tissue value of a whole scan; None where it holds no soft tissue.

    Parameters
    ----------
    hu : (slices, rows, columns).
    """
    return commonest_soft_tissue_hu(hu[:, ::EVERY, ::EVERY])


def commonest_soft_tissue_hu(hu: NDArray[np.generic]) -> float | None:
    """The commonest soft-tissue value of a head; None where there is no soft tissue.

    Parameters
    ----------
    hu : of a head's slices, any shape.
    """
    low, high = SEARCHED_HU
    counts, edges = np.histogram(hu, bins=round(high - low), range=(low, high))
    if not counts.any():
        return None
    return float(edges[int(np.argmax(gaussian_filter1d(counts.astype(float), SMOOTH_HU)))]) + 0.5

"""A small upright head of the second edition, and scenes and noise-free slices of it."""

from __future__ import annotations

import functools

import numpy as np

from dicomnode.cohort.acquire import Acquisition
from dicomnode.cohort.edition import SECOND
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.scanner import Artefacts, Scan, scan_scene
from dicomnode.cohort.scene import Anatomy, Scene, make_anatomy, make_scene

GRID_MM = 2.0
SLICES = Acquisition(
    positions_mm=tuple(np.arange(-30.0, 60.0, 5.0)),
    thickness_mm=5.0,
    matrix=192,
    pixel_mm=1.2,
    noise_hu=0.0,
    holder=False,
)


@functools.cache
def head(seed: int = 41, atrophy: float = 0.4, roll_deg: float = 0.0) -> Anatomy:
    """A head without lesions."""
    lesions = Lesions(atrophy=atrophy)
    return make_anatomy(seed, lesions, spacing_mm=GRID_MM, rotation_deg=(0.0, roll_deg, 0.0), edition=SECOND)


def scene(lesions: Lesions, base: Anatomy | None = None) -> Scene:
    """Lesions painted into it."""
    return make_scene(base or head(), lesions, SECOND)


def slices(painted: Scene, acquisition: Acquisition = SLICES) -> Scan:
    """Slices without noise."""
    return scan_scene(painted, acquisition, Artefacts(), 1)

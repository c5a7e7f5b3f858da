"""A head between two scans: it is put down again a little elsewhere, a little turned."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from dicomnode.cohort.canvas import AIR_HU, Point
from dicomnode.cohort.motion import Motion
from dicomnode.cohort.scene import Scene
from dicomnode.cohort.streams import stream

SHIFT_MM, TURN_DEG = (1.0, 5.0), (1.0, 5.0)
"""Length of the shift and angle of the turn between two scans."""


def _vector(rng: np.random.Generator, length: tuple[float, float]) -> Point:
    direction = rng.normal(size=3)
    x, y, z = (round(float(v), 3) for v in direction / np.linalg.norm(direction) * rng.uniform(*length))
    return x, y, z


def draw_motion(seed: int) -> Motion:
    """Motion of one patient between the two scans."""
    rng = stream(seed, "second", "motion")
    return Motion(_vector(rng, SHIFT_MM), _vector(rng, TURN_DEG))


def moved(scene: Scene, motion: Motion) -> Scene:
    """The scene after a motion: HU by linear interpolation, labels by the nearest voxel."""
    head = scene.head
    inverse = motion.rotation.T[::-1, ::-1]
    origin, spacing = np.array(head.origin_mm), head.spacing_mm[0]
    shift = np.array(motion.shift_mm)[::-1]
    offset = (inverse @ (origin - shift) - origin) / spacing

    def turned(values: NDArray[Any], order: int, outside: float) -> NDArray[Any]:
        return np.asarray(affine_transform(values, inverse, offset, order=order, mode="constant", cval=outside))

    findings = turned(scene.findings, 0, 0.0)
    there = dataclasses.replace(
        head,
        hu=turned(head.hu, 1, AIR_HU),
        mask=turned(head.mask.view(np.uint8), 0, 0.0).astype(bool),
        labels=turned(head.labels, 0, 0.0),
        cavity=turned(head.cavity.view(np.uint8), 0, 0.0).astype(bool),
        regions=turned(head.regions, 0, 0.0),
    )
    return dataclasses.replace(scene, head=there, findings=findings)

"""A head between two scans: it is put down again a little elsewhere, a little turned."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from dicomnode.cohort.canvas import AIR_HU, Point
from dicomnode.cohort.findings import BLOOD
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
    """The scene after a motion, as a scanner sees it: HU by linear interpolation, findings by the nearest voxel.

    Tissue labels, regions and the cavity stay those of the head before it moved: no scanner sees them.
    """
    head = scene.head
    inverse = motion.rotation.T[::-1, ::-1]
    origin, spacing = np.array(head.origin_mm), head.spacing_mm[0]
    offset = (inverse @ (origin - np.array(motion.shift_mm)[::-1]) - origin) / spacing
    hu = affine_transform(head.hu, inverse, offset, order=1, mode="constant", cval=AIR_HU)
    findings = _findings(scene.findings, inverse, offset)
    there = dataclasses.replace(head, hu=hu, mask=np.isin(findings, BLOOD))
    return dataclasses.replace(scene, head=there, findings=findings)


def _findings(findings: NDArray[np.uint8], inverse: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[Any]:
    """Labels after the motion; only the box that they can reach is looked at."""
    result = np.zeros_like(findings)
    where = np.argwhere(findings)
    if not where.size:
        return result
    low, high = where.min(axis=0), where.max(axis=0)
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
    reached = inverse.T @ (corners - offset[:, None])
    start = np.clip(np.floor(reached.min(axis=1)).astype(int) - 1, 0, findings.shape)
    stop = np.clip(np.ceil(reached.max(axis=1)).astype(int) + 2, 0, findings.shape)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    size = tuple(int(b - a) for a, b in zip(start, stop, strict=True))
    shifted = offset + inverse @ start
    result[box] = affine_transform(findings, inverse, shifted, output_shape=size, order=0, mode="constant", cval=0)
    return result

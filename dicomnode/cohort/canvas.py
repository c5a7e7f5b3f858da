"""The grid a head is painted on: warped head coordinates, Hounsfield units and tissue labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.fields import Field, blend, coverage, ellipsoid, smooth_field
from dicomnode.cohort.streams import stream

AIR_HU = -1000.0
EXTENT_MM = (190.0, 230.0, 190.0)
"""(z, y, x) size of the painted block."""
CENTRE_MM = (5.0, 0.0, 0.0)
"""(z, y, x) position of the brain's middle relative to the middle of the block: there is more room below than above."""
STRAIGHT_MM = 25.0
"""Nearer to the midline than this, the sideways warp fades to its share there."""

Point = tuple[float, float, float]


class Tissue(IntEnum):
    """Label of a voxel: the tissue painted last with more than half of it."""

    AIR = 0
    SCALP = 1
    SKULL = 2
    FACE = 3
    CSF = 4
    VENTRICLE = 5
    WHITE_MATTER = 6
    GREY_MATTER = 7
    DURA = 8
    VENOUS_SINUS = 9
    VESSEL = 10
    CALCIFICATION = 11


@dataclass(slots=True, kw_only=True)
class Canvas:
    """Mutable state while a head is painted. Index order (z, y, x); x left, y posterior, z up, millimetres.

    Attributes
    ----------
    x, y, z : head coordinates of every voxel (rotated and warped: anatomy is written in them).
    hu : Hounsfield units so far.
    labels : :class:`Tissue` of every voxel.
    rotation : (3, 3) head coordinates (x, y, z) from block coordinates.
    """

    seed: int
    spacing_mm: float
    x: Field
    y: Field
    z: Field
    hu: Field
    labels: NDArray[np.uint8]
    rotation: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) number of voxels."""
        z, y, x = self.hu.shape
        return z, y, x

    def rng(self, *names: str | int) -> np.random.Generator:
        """The named stream of this head."""
        return stream(self.seed, *names)

    def noise(self, name: str, correlation_mm: float) -> Field:
        """Named smooth field over the whole block."""
        return smooth_field(self.rng("field", name), self.shape, self.spacing_mm, correlation_mm)

    def box(self, centre: Point, reach_mm: float) -> tuple[slice, slice, slice]:
        """Index box around a point in head coordinates, wide enough for the warp."""
        block = self.rotation.T @ np.asarray(centre)
        reach = reach_mm + 8.0
        slices = []
        for axis, (extent, shift) in enumerate(zip(EXTENT_MM, CENTRE_MM, strict=True)):
            position = block[2 - axis] + shift + extent / 2
            low = int(np.clip((position - reach) // self.spacing_mm, 0, self.shape[axis]))
            high = int(np.clip((position + reach) // self.spacing_mm + 1, low, self.shape[axis]))
            slices.append(slice(low, high))
        return slices[0], slices[1], slices[2]

    def distance(self, box: tuple[slice, slice, slice], centre: Point, axes: Point) -> Field:
        """Signed distance to an ellipsoid in head coordinates, on an index box."""
        return ellipsoid(self.x[box], self.y[box], self.z[box], centre, axes)

    def paint(
        self, share: Field, hu: Field | float, tissue: Tissue, box: tuple[slice, slice, slice] | None = None
    ) -> None:
        """Mix a tissue in by its share of each voxel and label where it has more than half."""
        part = box or (slice(None), slice(None), slice(None))
        blend(self.hu[part], share, hu)
        self.labels[part][share > 0.5] = tissue

    def blob(self, centre: Point, axes: Point, hu: float, tissue: Tissue, within: Field | None = None) -> None:
        """Paint one ellipsoid; ``within`` (share over the whole block) confines it."""
        box = self.box(centre, max(axes))
        share = coverage(self.distance(box, centre, axes), self.spacing_mm)
        if within is not None:
            share = share * within[box]
        self.paint(share, hu, tissue, box)


def _axes(spacing_mm: float) -> list[Field]:
    """Block coordinates (z, y, x) of the voxel centres, each broadcastable to the block."""
    result = []
    for axis, (extent, shift) in enumerate(zip(EXTENT_MM, CENTRE_MM, strict=True)):
        count = round(extent / spacing_mm)
        line = ((np.arange(count) + 0.5) * spacing_mm - extent / 2 - shift).astype(np.float32)
        result.append(line.reshape([-1 if k == axis else 1 for k in range(3)]))
    return result


def rotation_matrix(angles_deg: Sequence[float]) -> NDArray[np.float64]:
    """(3, 3) rotation by pitch (about x), roll (about y) and yaw (about z), in that order."""
    result = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles_deg)):
        i, j = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result


def blank_canvas(
    seed: int, spacing_mm: float, angles_deg: Sequence[float], warp_mm: float, midline_warp: float = 1.0
) -> Canvas:
    """Canvas of air whose coordinates are rotated and smoothly warped.

    Parameters
    ----------
    angles_deg : pitch, roll, yaw of the head in the scanner.
    warp_mm : standard deviation of the warp that makes the head asymmetric.
    midline_warp : share of it that moves the midline sideways; it grows to the whole at ``STRAIGHT_MM``.
    """
    bz, by, bx = _axes(spacing_mm)
    rotation = rotation_matrix(angles_deg)
    shape = (bz.size, by.size, bx.size)
    warped = []
    for k, name in enumerate("xyz"):
        row = rotation[k].astype(np.float32)
        warp = smooth_field(stream(seed, "field", "warp", name), shape, spacing_mm, 45.0)
        straight = row[0] * bx + row[1] * by + row[2] * bz
        if name == "x" and midline_warp < 1.0:
            near = np.float32(1.0 - midline_warp) * np.exp(-((straight / np.float32(STRAIGHT_MM)) ** 2))
            warp = warp * (np.float32(1.0) - near)
        warped.append(straight + np.float32(warp_mm) * warp)
    hu = np.full(shape, AIR_HU, np.float32)
    x, y, z = warped
    return Canvas(
        seed=seed, spacing_mm=spacing_mm, x=x, y=y, z=z, hu=hu, labels=np.zeros(shape, np.uint8), rotation=rotation
    )

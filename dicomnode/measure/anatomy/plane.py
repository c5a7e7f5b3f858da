"""The mid-sagittal plane of the skull: halfway between its outermost bone on the left and on the right, fitted
over all heights, so that a turned or tilted head has a turned or tilted plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.sampling import voxel_points_mm
from dicomnode.records import Volume

BONE_HU = 300.0
CELL_MM = 4.0
"""Bone is looked at in cells of this size along the body and from front to back."""
LEAST_WIDTH_MM, LEAST_CELLS = 90.0, 40
"""Cells whose outermost bones are nearer than this show no vault; of fewer cells no plane is fitted."""
MOST_PLANES = (64, 192, 192)
"""Slices, rows and columns that are looked at, about: the plane is that of thousands of points."""
CELLS_ACROSS = 1 << 20
"""More than any count of cells along one axis, so that two counts make one key."""
OUTLIER_MM = 4.0
ROUNDS, TURNS = 4, 8


@dataclass(frozen=True, slots=True)
class MidPlane:
    """Points p with normal . p = offset, in patient coordinates (LPS, mm).

    Attributes
    ----------
    normal : (3,) unit vector to the patient's left.
    """

    normal: NDArray[np.float64]
    offset_mm: float

    def distance_mm(self, point_mm: Sequence[float]) -> float:
        """Of a point from the plane; positive on the patient's left."""
        return float(self.normal @ np.asarray(point_mm) - self.offset_mm)


LEFT = np.array([1.0, 0.0, 0.0])


def mid_plane(volume: Volume) -> MidPlane | None:
    """The mid-sagittal plane of the skull; None where too little of a vault is seen.

    Chords across an ellipse have their middles on its axis only where they run at right angles to it: those of each
    turn run at right angles to the plane of the turn before.
    """
    points_mm = _bone_points_mm(volume)
    plane = MidPlane(LEFT, 0.0)
    for _ in range(TURNS):
        axes = _axes(plane.normal)
        middles = _middles(points_mm @ axes.T)
        if len(middles) < LEAST_CELLS:
            return None
        plane = _fitted(middles, axes)
    return plane


def _axes(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rows: the normal of a plane, and two directions within it, near the back and the crown."""
    back = np.array([0.0, 1.0, 0.0]) - normal[1] * normal
    back /= np.linalg.norm(back)
    return np.stack([normal, back, np.cross(normal, back)])


def _bone_points_mm(volume: Volume) -> NDArray[np.float64]:
    """(points, 3) of the outermost bone, by the rows and columns of the slices, of a part of them."""
    stack, hu = volume.stack, volume.hu
    steps = [max(1, round(size / most)) for size, most in zip(hu.shape, MOST_PLANES, strict=True)]
    bone = _outermost(hu[:: steps[0], :: steps[1], :: steps[2]] > BONE_HU) * steps
    return voxel_points_mm(stack, bone)


def _outermost(bone: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(points, 3) indices of the first and the last set voxel of every row and of every column of every slice."""
    found = []
    for turned, order in ((bone, (0, 1, 2)), (bone.swapaxes(1, 2), (0, 2, 1))):
        lines = np.argwhere(turned.any(axis=2))
        first = turned.argmax(axis=2)[tuple(lines.T)]
        last = turned.shape[2] - 1 - turned[:, :, ::-1].argmax(axis=2)[tuple(lines.T)]
        found += [np.column_stack([lines, ends])[:, order] for ends in (first, last)]
    return np.concatenate(found)


def _middles(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(cells, 3) halfway between the outermost bones, along the first axis, of each cell that is wide enough.

    Parameters
    ----------
    points_mm : (points, 3) across the plane, to the back, to the crown.
    """
    if not len(points_mm):
        return points_mm
    cells = np.floor(points_mm[:, 1:] / CELL_MM).astype(np.int64)
    keys, which = np.unique(cells[:, 0] * CELLS_ACROSS + cells[:, 1], return_inverse=True)
    low, high = np.full(len(keys), np.inf), np.full(len(keys), -np.inf)
    np.minimum.at(low, which.ravel(), points_mm[:, 0])
    np.maximum.at(high, which.ravel(), points_mm[:, 0])
    wide = high - low > LEAST_WIDTH_MM
    back = np.round(keys / CELLS_ACROSS)
    places = np.column_stack([back, keys - back * CELLS_ACROSS])[wide]
    return np.column_stack([(low + high)[wide] / 2, (places + 0.5) * CELL_MM])


def _fitted(middles: NDArray[np.float64], axes: NDArray[np.float64]) -> MidPlane:
    """Least squares, without what lies far from the plane of the round before (a tube, a defect of the skull)."""
    kept = middles
    for _ in range(ROUNDS):
        terms = np.column_stack([np.ones(len(kept)), kept[:, 1:]])
        fit, *_ = np.linalg.lstsq(terms, kept[:, 0], rcond=None)
        off = np.abs(middles[:, 0] - np.column_stack([np.ones(len(middles)), middles[:, 1:]]) @ fit)
        kept = middles[off <= max(OUTLIER_MM, float(np.median(off)))]
    normal = axes[0] - fit[1] * axes[1] - fit[2] * axes[2]
    length = np.linalg.norm(normal)
    return MidPlane(normal / length, float(fit[0] / length))

"""Head coordinates of a scan, found step by step from its bone, its air and its fluid.

A first guess comes from the mid-sagittal plane and the crown of the skull. Each step then looks at the head on a coarse
grid of the guess and corrects it by linear regression (cascaded regression: Xiong and De la Torre, CVPR 2013), learned
from procedural heads whose coordinates are known (``dicomnode.train.anatomy``). No image of a head is compared with.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.plane import BONE_HU, LEFT, MidPlane
from dicomnode.measure.anatomy.sampling import Coarse, coarse
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import Volume

GRID_MM = 8.0
HALF_MM = (76.0, 92.0, 76.0)
"""Half axes (x, y, z) of the ellipsoid of looked-at points, about ``MIDDLE_MM``."""
MIDDLE_MM = (0.0, 0.0, 14.0)
CROWN_MM = 80.0
"""From the middle of the brain to the outside of the skull above it, about."""
AIR_HU = -200.0
CHANNELS = 3
"""Bone, air, fluid."""
LEAST_SEEN = 0.4
"""Share of the grid that a scan must cover for its frame to be looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Head coordinates of a scan: x left, y posterior, z up, millimetres, origin in the middle of the brain.

    Attributes
    ----------
    matrix : (3, 4) head coordinates from patient coordinates (LPS, mm): ``matrix @ (x, y, z, 1)``.
    likeness : correlation of the skull seen in this frame with that of the heads it was learned from, -1 to 1.
    """

    matrix: NDArray[np.float64]
    likeness: float

    def to_head(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 3) head coordinates of patient coordinates."""
        return np.asarray(points_mm @ self.matrix[:, :3].T + self.matrix[:, 3])

    def to_patient(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 3) patient coordinates of head coordinates."""
        return np.asarray((points_mm - self.matrix[:, 3]) @ np.linalg.inv(self.matrix[:, :3]).T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """What was learned.

    Attributes
    ----------
    mean : (steps, features) of each step, which stands in for what is not seen.
    weights : (steps, features, 12) correction of a frame, by feature.
    bias : (steps, 12)
    """

    mean: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@functools.cache
def grid_mm() -> NDArray[np.float64]:
    """(points, 3) head coordinates that are looked at."""
    lines = [np.arange(-half, half + GRID_MM, GRID_MM) for half in HALF_MM]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(points[((points / HALF_MM) ** 2).sum(axis=1) < 1.0] + MIDDLE_MM)


@functools.cache
def learned() -> Cascade:
    """The cascade that ships with the node."""
    with resources.files(__package__).joinpath("cascade.npz").open("rb") as file, np.load(file) as arrays:
        return Cascade(**{name: arrays[name].astype(np.float32) for name in ("mean", "weights", "bias")})


def find_frame(volume: Volume, plane: MidPlane) -> Frame | None:
    """The frame of a head; None where too little of the head is seen.

    Whether it can be relied on is said by ``likeness``.

    Parameters
    ----------
    plane : the mid-sagittal plane of its skull.
    """
    seen = coarse(volume)
    guess = first_guess(seen, plane)
    return None if guess is None else refined(seen, guess, learned())


def first_guess(seen: Coarse, plane: MidPlane) -> NDArray[np.float64] | None:
    """(3, 4) frame that stands upright on the mid-sagittal plane, below the crown; None without bone."""
    bone = seen.points_mm()[seen.hu > BONE_HU]
    axes = upright_axes(plane.normal)
    places = bone @ axes.T
    near = places[np.abs(places[:, 0] - plane.offset_mm) < 40.0]
    if not len(near):
        return None
    z_mm = float(near[:, 2].max()) - CROWN_MM
    vault = places[(places[:, 2] > z_mm + 10.0) & (places[:, 2] < z_mm + 60.0)]
    if not len(vault):
        return None
    y_mm = float(np.quantile(vault[:, 1], (0.01, 0.99)).mean())
    return np.column_stack([axes, [-plane.offset_mm, -y_mm, -z_mm]])


def upright_axes(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rows: to the left across the plane; backwards and upwards within it, as the patient lies."""
    left = normal if normal @ LEFT > 0 else -normal
    back = np.array([0.0, 1.0, 0.0]) - left[1] * left
    back /= np.linalg.norm(back)
    return np.stack([left, back, np.cross(left, back)])


def features(
    seen: Coarse, matrix: NDArray[np.float64], brain_hu: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What a frame sees on its grid: bone, air, and fluid against brain.

    Returns
    -------
    (features,) values, and whether each was seen at all: what lies outside of the scan was not.
    """
    frame = Frame(matrix=matrix, likeness=0.0)
    hu = seen.at(frame.to_patient(grid_mm()))
    is_seen = np.isfinite(hu)
    hu = np.where(is_seen, hu, 0.0)
    bone = np.clip((hu - 100.0) / 500.0, 0.0, 1.0)
    air = np.clip((AIR_HU - hu) / 400.0, 0.0, 1.0)
    soft = (hu > -30.0) & (hu < 100.0)
    fluid = np.where(soft, np.clip((hu - brain_hu) / 20.0, -1.0, 0.5), 0.0)
    return np.concatenate([bone, air, fluid]).astype(np.float32), np.tile(is_seen, CHANNELS)


def refined(seen: Coarse, guess: NDArray[np.float64], cascade: Cascade) -> Frame | None:
    """A guess corrected by every step; None where too little of the head is seen."""
    brain_hu = commonest_soft_tissue_hu(seen.hu) or 0.0
    matrix = guess
    for mean, weights, bias in zip(cascade.mean, cascade.weights, cascade.bias, strict=True):
        values, is_seen = features(seen, matrix, brain_hu)
        if is_seen.mean() < LEAST_SEEN:
            return None
        step = np.where(is_seen, values - mean, 0.0) @ weights + bias
        matrix = corrected(matrix, np.asarray(step, np.float64))
    return Frame(matrix=matrix, likeness=_likeness(seen, matrix, brain_hu, cascade.mean[-1]))


def corrected(matrix: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 4) frame after a correction: what was at head coordinates h is at ``h + A @ (h / 50, 1)``.

    Parameters
    ----------
    step : (12,) the rows of A, mm.
    """
    by_row = step.reshape(3, 4)
    change = np.column_stack([by_row[:, :3] / 50.0, by_row[:, 3]])
    moved = matrix + change[:, :3] @ matrix
    moved[:, 3] += change[:, 3]
    return moved


def _likeness(seen: Coarse, matrix: NDArray[np.float64], brain_hu: float, mean: NDArray[np.float32]) -> float:
    values, is_seen = features(seen, matrix, brain_hu)
    skull = slice(0, len(mean) // CHANNELS)
    own, usual = values[skull][is_seen[skull]], mean[skull][is_seen[skull]]
    return float(np.corrcoef(own, usual)[0, 1])

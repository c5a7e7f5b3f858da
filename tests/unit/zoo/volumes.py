"""Volumes of synthetic heads for the tests of the zoo."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.cohort.acquire import AcquiredSeries
from dicomnode.dicom.geometry import SHEAR_TOLERANCE, weights_of
from dicomnode.records import Stack, Volume
from tests.tools.series import points_of


def volume_from(acquired: AcquiredSeries) -> Volume:
    """The volume a receiver makes of an acquired series whose positions ascend."""
    positions = acquired.image_positions_mm
    row, column = np.array(acquired.image_orientation[:3]), np.array(acquired.image_orientation[3:])
    return make_volume(acquired.hu, positions, row, column, (acquired.acquisition.pixel_mm,) * 2)


def make_volume(
    hu: NDArray[np.float32],
    positions: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    spacing: tuple[float, float],
) -> Volume:
    """Volume with its stack; slices must ascend along row x column."""
    normal = np.cross(row, column)
    offsets = positions @ normal
    assert (np.diff(offsets) > 0).all()
    count = len(hu)
    stack = Stack(
        order=tuple(range(count)),
        positions_mm=positions,
        row_cosines=row,
        column_cosines=column,
        normal=normal,
        offsets_mm=offsets,
        weights_mm=weights_of(offsets),
        rows=hu.shape[1],
        columns=hu.shape[2],
        row_spacing_mm=spacing[0],
        column_spacing_mm=spacing[1],
        shear=(_drift(positions @ row, offsets), _drift(positions @ column, offsets)),
    )
    return Volume(np.ascontiguousarray(hu), stack, tuple(f"1.2.{k}" for k in range(count)))


def _drift(in_plane_mm: NDArray[np.float64], offsets_mm: NDArray[np.float64]) -> float:
    slope = float(np.polyfit(offsets_mm, in_plane_mm, 1)[0])
    return slope if abs(slope) > SHEAR_TOLERANCE else 0.0


def stored_otherwise(volume: Volume, change: str) -> Volume:
    """The same head, stored with flipped rows, flipped columns, both, or transposed.

    Slices are sorted along the normal, so a change of handedness reverses their order.
    """
    s = volume.stack
    hu, positions, row, column = volume.hu, s.positions_mm, s.row_cosines, s.column_cosines
    spacing = (s.row_spacing_mm, s.column_spacing_mm)
    if change in ("rows", "both"):
        positions = positions + column * spacing[0] * (s.rows - 1)
        hu, column = hu[:, ::-1], -column
    if change in ("columns", "both"):
        positions = positions + row * spacing[1] * (s.columns - 1)
        hu, row = hu[:, :, ::-1], -row
    if change == "transposed":
        hu, row, column, spacing = hu.transpose(0, 2, 1), column, row, spacing[::-1]
    if np.cross(row, column)[2] < 0:
        hu, positions = hu[::-1], positions[::-1]
    return make_volume(hu, np.ascontiguousarray(positions), row, column, spacing)


def mask_otherwise(mask: NDArray[np.bool_], change: str) -> NDArray[np.bool_]:
    """The mask that belongs to :func:`stored_otherwise`."""
    changed = {
        "rows": mask[::-1, ::-1],
        "columns": mask[::-1, :, ::-1],
        "both": mask[:, ::-1, ::-1],
        "transposed": mask[::-1].transpose(0, 2, 1),
    }
    return np.ascontiguousarray(changed[change])


def hollow(volume: Volume, brain: NDArray[np.bool_]) -> Volume:
    """The head with air in place of the brain, as in a plastic phantom."""
    return dataclasses.replace(volume, hu=np.where(brain, np.float32(-1000.0), volume.hu))


def with_painted_clot(
    volume: Volume, middle: tuple[int, int, int], radius_mm: float
) -> tuple[Volume, NDArray[np.bool_]]:
    """The head with a ball of blood (62 HU, blurred in plane) around a voxel (slice, row, column), and the truth."""
    indices = np.indices(volume.hu.shape).reshape(3, -1).T
    squared = ((points_of(volume.stack, indices) - points_of(volume.stack, np.array([middle]))) ** 2).sum(axis=1)
    truth = (squared < radius_mm**2).reshape(volume.hu.shape)
    share = ndimage.gaussian_filter(truth.astype(np.float32), (0.0, 1.2, 1.2))
    blood = 62.0 + 0.5 * (volume.hu - 30.0)
    return dataclasses.replace(volume, hu=volume.hu + share * (blood - volume.hu)), truth


def ml(mask: NDArray[np.bool_], stack: Stack) -> float:
    """Volume of a mask on the slice grid."""
    return float((mask.sum(axis=(1, 2)) * stack.weights_mm).sum() * stack.pixel_area_mm2 / 1000.0)


def opened_in_front(volume: Volume) -> Volume:
    """The head without frontal bone in the lower half: there the bone is as thin as paper in many people."""
    bone = volume.hu > 180.0
    front = np.zeros_like(bone)
    rows = np.flatnonzero(bone.any(axis=(0, 2)))
    front[: len(bone) // 2 + 2, : rows[0] + (rows[-1] - rows[0]) // 3, bone.shape[2] // 4 : -bone.shape[2] // 4] = True
    return dataclasses.replace(volume, hu=np.where(bone & front, np.float32(60.0), volume.hu))

"""Geometry of a stack of CT slices, from ImagePositionPatient and ImageOrientationPatient alone.

Nothing here reads SliceThickness, SpacingBetweenSlices, SliceLocation, GantryDetectorTilt, InstanceNumber or file
order: each of them is wrong in real series.

References: DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomnode.errors import InconsistentGeometry, Refusal
from dicomnode.records import Stack

UNIT_TOLERANCE = 0.01
"""How far ImageOrientationPatient may be from unit length and right angle; scanners round to 4 digits at worst, and
what is off by more is no orientation."""
ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine within a stack: 0.06 degrees, 0.25 mm at the rim of a 500 mm field."""
PIXEL_SPACING_TOLERANCE_MM = 1e-4
"""Largest difference of PixelSpacing within a stack: 0.05 mm over 512 pixels."""
DUPLICATE_TOLERANCE_MM = 0.01
"""Slices closer than this lie at the same position; the finest table step of a head CT is 0.3 mm."""
MISSING_RATIO = 1.5
"""A gap that exceeds this many times each adjacent gap has lost a slice: one lost slice doubles it."""
SPACING_TOLERANCE_MM = 0.01
"""Largest deviation from even spacing that an affine may hide; positions are written to 1e-3 mm or better."""
SHEAR_TOLERANCE = 1e-4
"""Drift per mm below which a stack counts as not tilted: 0.006 degrees, 0.015 mm over a head."""


class Plane(Protocol):
    """The attributes of a slice that its geometry needs; ``SliceHeader`` has them."""

    @property
    def position_mm(self) -> tuple[float, float, float] | None: ...
    @property
    def orientation(self) -> tuple[float, ...] | None: ...
    @property
    def pixel_spacing_mm(self) -> tuple[float, float] | None: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def columns(self) -> int | None: ...


def stack_of(planes: Sequence[Plane]) -> Stack:
    """Geometry of parallel slices, sorted by their position along the normal.

    The shear is a least squares fit of the origins' drift, 0 below ``SHEAR_TOLERANCE``. Gaps are no error here: see
    :func:`gaps_of`.

    Parameters
    ----------
    planes : in any order; ``Stack.order`` refers to it.

    Raises
    ------
    InconsistentGeometry : with ``TOO_FEW_SLICES`` (less than two), ``NO_GEOMETRY`` (an attribute is absent or
        impossible), ``MIXED_SIZE``, ``MIXED_ORIENTATION`` or ``DUPLICATE_POSITIONS``.
    """
    if len(planes) < 2:
        raise InconsistentGeometry(Refusal.TOO_FEW_SLICES, f"{len(planes)} slices")
    rows, columns, (row_spacing_mm, column_spacing_mm) = _common_matrix(planes)
    row_cosines, column_cosines = _common_orientation(planes)
    normal = np.cross(row_cosines, column_cosines)
    positions_mm = np.array([plane.position_mm for plane in planes], dtype=np.float64)
    order = np.argsort(positions_mm @ normal, kind="stable")
    positions_mm = positions_mm[order]
    offsets_mm = positions_mm @ normal
    _refuse_duplicates(offsets_mm)
    return Stack(
        order=tuple(int(index) for index in order),
        positions_mm=positions_mm,
        row_cosines=row_cosines,
        column_cosines=column_cosines,
        normal=normal,
        offsets_mm=offsets_mm,
        weights_mm=weights_of(offsets_mm),
        rows=rows,
        columns=columns,
        row_spacing_mm=row_spacing_mm,
        column_spacing_mm=column_spacing_mm,
        shear=(
            _drift(positions_mm @ row_cosines, offsets_mm),
            _drift(positions_mm @ column_cosines, offsets_mm),
        ),
    )


def _common_matrix(planes: Sequence[Plane]) -> tuple[int, int, tuple[float, float]]:
    """Rows, columns and pixel spacing that all planes share."""
    incomplete = sum(1 for plane in planes if not _has_geometry(plane))
    if incomplete:
        raise InconsistentGeometry(Refusal.NO_GEOMETRY, f"{incomplete} of {len(planes)} slices")
    sizes = {(plane.rows or 0, plane.columns or 0) for plane in planes}
    if len(sizes) > 1:
        raise InconsistentGeometry(Refusal.MIXED_SIZE, ", ".join(f"{r} x {c}" for r, c in sorted(sizes)))
    spacings = np.array([plane.pixel_spacing_mm for plane in planes], dtype=np.float64)
    if np.ptp(spacings, axis=0).max() > PIXEL_SPACING_TOLERANCE_MM:
        low, high = spacings.min(axis=0), spacings.max(axis=0)
        raise InconsistentGeometry(Refusal.MIXED_SIZE, f"pixel spacing from {low.tolist()} to {high.tolist()} mm")
    rows, columns = sizes.pop()
    return rows, columns, (float(spacings[0, 0]), float(spacings[0, 1]))


def _has_geometry(plane: Plane) -> bool:
    spacing = plane.pixel_spacing_mm
    return bool(
        plane.position_mm is not None
        and plane.orientation is not None
        and spacing is not None
        and min(spacing) > 0
        and plane.rows
        and plane.columns
    )


def _common_orientation(planes: Sequence[Plane]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column cosines that all planes share, exactly perpendicular and of unit length."""
    cosines = np.array([plane.orientation for plane in planes], dtype=np.float64)
    row, column = cosines[:, :3], cosines[:, 3:]
    wrong = max(
        np.abs(np.linalg.norm(row, axis=1) - 1).max(),
        np.abs(np.linalg.norm(column, axis=1) - 1).max(),
        np.abs((row * column).sum(axis=1)).max(),
    )
    if wrong > UNIT_TOLERANCE:
        raise InconsistentGeometry(Refusal.NO_GEOMETRY, "orientation is not two perpendicular unit vectors")
    spread = float(np.ptp(cosines, axis=0).max())
    if spread > ORIENTATION_TOLERANCE:
        raise InconsistentGeometry(Refusal.MIXED_ORIENTATION, f"direction cosines differ by {spread:.4f}")
    first = row[0] / np.linalg.norm(row[0])
    second = column[0] - (column[0] @ first) * first
    return first, second / np.linalg.norm(second)


def _refuse_duplicates(offsets_mm: NDArray[np.float64]) -> None:
    same = np.flatnonzero(np.diff(offsets_mm) < DUPLICATE_TOLERANCE_MM)
    if same.size:
        places = ", ".join(f"{offset:.2f}" for offset in sorted(set(offsets_mm[same].round(2)))[:5])
        raise InconsistentGeometry(
            Refusal.DUPLICATE_POSITIONS,
            f"{same.size} slices more than positions, at {places} mm along the normal",
        )


def _drift(in_plane_mm: NDArray[np.float64], offsets_mm: NDArray[np.float64]) -> float:
    """Slope of the origins' in-plane coordinate over the offset, least squares."""
    along = offsets_mm - offsets_mm.mean()
    slope = float(along @ (in_plane_mm - in_plane_mm.mean()) / (along @ along))
    return slope if abs(slope) > SHEAR_TOLERANCE else 0.0


def weights_of(offsets_mm: ArrayLike) -> NDArray[np.float64]:
    """Thickness of each slice's share: half the distance to each neighbour; an end slice the distance to its only one.

    Parameters
    ----------
    offsets_mm : (slices,) ascending, at least two.

    >>> weights_of([0, 4, 8, 15, 22]).tolist()
    [4.0, 4.0, 5.5, 7.0, 7.0]
    """
    gaps = np.diff(np.asarray(offsets_mm, dtype=np.float64))
    if gaps.size == 0:
        raise InconsistentGeometry(Refusal.TOO_FEW_SLICES, "a single slice has no neighbour")
    return np.asarray((np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2)


def gaps_of(offsets_mm: ArrayLike) -> tuple[int, ...]:
    """Indices of the places where slices are missing: i says that something lay between slice i and slice i + 1.

    A gap has lost a slice where it exceeds ``MISSING_RATIO`` times *every* adjacent gap. A lasting change of spacing
    is therefore none (4 mm through the posterior fossa, then 7 mm), neither is a short step between two table runs.
    The first and the last gap have one neighbour only; with less than two gaps there is nothing to compare.

    Parameters
    ----------
    offsets_mm : (slices,) ascending.

    >>> gaps_of([0, 5, 10, 20]), gaps_of([0, 10, 15, 20]), gaps_of([0, 5, 15, 20])
    ((2,), (0,), (1,))
    >>> gaps_of([0, 4, 8, 15, 22]), gaps_of([0, 4, 8, 9.08, 16.08, 23.08]), gaps_of([0, 30])
    ((), (), ())
    """
    gaps = np.diff(np.asarray(offsets_mm, dtype=np.float64))
    if gaps.size < 2:
        return ()
    none = np.array([-np.inf])
    before, after = np.concatenate([none, gaps[:-1]]), np.concatenate([gaps[1:], none])
    widest_neighbour = np.maximum(before, after)
    # The allowance keeps 7.5 mm beside 5 mm, an exact 1.5, from being decided by rounding.
    missing = gaps > MISSING_RATIO * widest_neighbour + DUPLICATE_TOLERANCE_MM
    return tuple(int(index) for index in np.flatnonzero(missing))


def tilt_deg(stack: Stack) -> float:
    """Angle between the normal and the line through the origins: the gantry tilt, without sign."""
    return float(np.degrees(np.arctan(np.hypot(*stack.shear))))


def obliquity_deg(stack: Stack) -> float:
    """Angle between the slices' normal and the patient's long axis (z): 0 for axial, 90 for coronal and sagittal."""
    return float(np.degrees(np.arccos(min(1.0, abs(float(stack.normal[2]))))))


def affine_of(stack: Stack) -> NDArray[np.float64]:
    """Affine from voxel index to patient coordinates of a regular grid.

    Returns
    -------
    (4, 4) float64: (column, row, slice, 1) -> (x, y, z, 1), LPS, millimetres, centre of voxel.

    Raises
    ------
    InconsistentGeometry : ``UNEVEN_STACK`` where an origin lies more than ``SPACING_TOLERANCE_MM`` from the even,
        untilted grid through the first and the last slice.
    """
    affine, error_mm = even_affine(stack)
    if error_mm > SPACING_TOLERANCE_MM or stack.shear != (0.0, 0.0):
        detail = f"tilt {tilt_deg(stack):.1f} degrees, spacing off by {error_mm:.2f} mm"
        raise InconsistentGeometry(Refusal.UNEVEN_STACK, detail)
    return affine


def even_affine(stack: Stack) -> tuple[NDArray[np.float64], float]:
    """Affine of the even grid through the first and the last slice, sheared where the stack is tilted.

    Returns
    -------
    (4, 4) float64 as :func:`affine_of`, and the largest distance in mm of an origin from that grid.
    """
    step = (stack.positions_mm[-1] - stack.positions_mm[0]) / (len(stack.order) - 1)
    even = stack.positions_mm[0] + np.arange(len(stack.order))[:, None] * step
    affine = np.eye(4)
    affine[:3, 0] = stack.row_cosines * stack.column_spacing_mm
    affine[:3, 1] = stack.column_cosines * stack.row_spacing_mm
    affine[:3, 2] = step
    affine[:3, 3] = stack.positions_mm[0]
    return affine, float(np.linalg.norm(stack.positions_mm - even, axis=1).max())

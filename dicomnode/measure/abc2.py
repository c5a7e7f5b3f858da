"""ABC/2: the bedside estimate of a haematoma's volume, from three lengths.

Kothari RU et al. The ABCs of measuring intracerebral hemorrhage volumes. Stroke 1996;27:1304-1305.
A is the largest diameter on the slice with the largest area, B the largest diameter perpendicular to A on that slice,
C the slices, each weighted by its area, times their spacing. Lengths run along the edges of pixels, not between their
centres: a single voxel has an extent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

FULL_SLICE_FRACTION = 0.75
"""A slice with a larger share of the largest area counts as one (Kothari 1996)."""
HALF_SLICE_FRACTION = 0.25
"""A slice with a smaller share of the largest area is not counted; one between counts half."""


@dataclass(frozen=True, slots=True)
class Diameters:
    """Two perpendicular diameters of a plane region, millimetres.

    Attributes
    ----------
    longest_mm : A, the largest distance between two points of the region.
    perpendicular_mm : B, the longest chord at a right angle to A, on the convex hull.
    """

    longest_mm: float
    perpendicular_mm: float


def diameters(plane: NDArray[np.bool_], row_spacing_mm: float, column_spacing_mm: float) -> Diameters:
    """The longest diameter of a region and the longest one perpendicular to it.

    Parameters
    ----------
    plane : (rows, columns), at least one pixel set.
    row_spacing_mm, column_spacing_mm : distance between rows, between columns (PixelSpacing[0], PixelSpacing[1]).

    Raises
    ------
    ValueError : no pixel is set.
    """
    corners_mm = _outer_corners(plane) * (column_spacing_mm, row_spacing_mm)
    hull_mm = corners_mm[ConvexHull(corners_mm).vertices]
    distances = squareform(pdist(hull_mm))
    first, last = np.unravel_index(np.argmax(distances), distances.shape)
    along = (hull_mm[last] - hull_mm[first]) / distances[first, last]
    return Diameters(float(distances[first, last]), _longest_chord_across(hull_mm, along))


def slice_shares(areas_mm2: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each slice counts in C: 1 above 75 % of the largest area, 0.5 from 25 %, else 0.

    Parameters
    ----------
    areas_mm2 : (slices,) area of the region on each slice, any unit; the largest above zero.
    """
    fractions = areas_mm2 / areas_mm2.max()
    half_or_none = np.where(fractions >= HALF_SLICE_FRACTION, 0.5, 0.0)
    return np.where(fractions > FULL_SLICE_FRACTION, 1.0, half_or_none)


def abc2_ml(
    longest_mm: float, perpendicular_mm: float, areas_mm2: NDArray[np.float64], weights_mm: NDArray[np.float64]
) -> float:
    """A x B x C / 2 in millilitres.

    Parameters
    ----------
    longest_mm, perpendicular_mm : A and B.
    areas_mm2 : (slices,) area of the region on each slice, any unit.
    weights_mm : (slices,) share of each slice along the normal; all equal to the spacing on an even stack.

    >>> areas = np.array([1.0, 0.9, 0.8, 0.6, 0.3, 0.1])
    >>> abc2_ml(50.0, 40.0, areas, np.full(6, 5.0))
    20.0
    """
    height_mm = float(np.sum(slice_shares(areas_mm2) * weights_mm))
    return longest_mm * perpendicular_mm * height_mm / 2 / 1000


def _outer_corners(plane: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(points, 2) corners as (column, row) of the first and last pixel of each row: they hold the convex hull."""
    rows = np.flatnonzero(plane.any(axis=1))
    if not rows.size:
        raise ValueError("an empty region has no diameter")
    left = plane[rows].argmax(axis=1)
    right = plane.shape[1] - plane[rows][:, ::-1].argmax(axis=1)
    columns = np.concatenate([left, left, right, right])
    edges = np.concatenate([rows, rows + 1, rows, rows + 1])
    return np.stack([columns, edges], axis=1).astype(np.float64)


def _longest_chord_across(hull: NDArray[np.float64], along: NDArray[np.float64]) -> float:
    """Length of the longest chord of a convex polygon at a right angle to ``along``.

    The chord's length is a concave, piecewise linear function of the place along the axis: its maximum lies at a
    vertex.

    Parameters
    ----------
    hull : (points, 2) vertices in order.
    along : (2,) unit vector.
    """
    place = hull @ along
    height = hull @ np.array([-along[1], along[0]])
    start, end = int(np.argmin(place)), int(np.argmax(place))
    chains = [_chain(start, end, len(hull)), _chain(end, start, len(hull))[::-1]]
    first, second = (np.interp(place, place[chain], height[chain]) for chain in chains)
    return float(np.max(np.abs(first - second)))


def _chain(start: int, end: int, count: int) -> NDArray[np.intp]:
    """Indices from ``start`` round to ``end``, both included."""
    length = (end - start) % count + 1
    return (start + np.arange(length)) % count

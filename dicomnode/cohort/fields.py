"""Smooth random fields and signed distances: the building blocks of procedural anatomy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]


def _spline_matrix(length: int, control: int) -> Field:
    """(length, control) cubic B-spline weights from evenly spaced control points to samples."""
    position = np.linspace(0.0, control - 3.0, length, endpoint=False)
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6.0
    matrix = np.zeros((length, control), np.float32)
    for k in range(4):
        np.add.at(matrix, (np.arange(length), first + k), weights[k])
    return matrix


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: float, correlation_mm: float
) -> Field:
    """Random field of zero mean and unit standard deviation, smooth over about ``correlation_mm``.

    Parameters
    ----------
    shape : of the result, (z, y, x).
    spacing_mm : of the cubic grid.
    """
    control = [int(np.ceil(n * spacing_mm / correlation_mm)) + 3 for n in shape]
    field = rng.standard_normal(control).astype(np.float32)
    for axis, length in enumerate(shape):
        matrix = _spline_matrix(length, control[axis])
        field = np.moveaxis(np.tensordot(matrix, field, axes=(1, axis)), 0, axis)
    field = np.ascontiguousarray(field)
    field -= field.mean()
    field /= field.std()
    return field


def ellipsoid(
    x: Field, y: Field, z: Field, centre: tuple[float, float, float], axes: tuple[float, float, float]
) -> Field:
    """Approximate signed distance in mm to an ellipsoid, negative inside (first order in the distance)."""
    u, v, w = (x - centre[0]) / axes[0], (y - centre[1]) / axes[1], (z - centre[2]) / axes[2]
    radius = np.sqrt(u * u + v * v + w * w)
    slope = np.sqrt((u / axes[0]) ** 2 + (v / axes[1]) ** 2 + (w / axes[2]) ** 2)
    result: Field = (radius * (radius - 1.0) / np.maximum(slope, 1e-6)).astype(np.float32)
    return result


def coverage(distance: Field, width_mm: float = 1.0) -> Field:
    """Share of a voxel inside a surface from its signed distance: 1 inside, 0 outside, linear over ``width_mm``."""
    result: Field = np.clip(0.5 - distance / width_mm, 0.0, 1.0).astype(np.float32)
    return result


def blend(hu: Field, share: Field, value: Field | float) -> None:
    """Mix ``value`` into ``hu`` in place by its share of each voxel."""
    hu += share * (value - hu)

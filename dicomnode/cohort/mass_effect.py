"""Mass effect: what takes room pushes brain, ventricles and midline away.

A haematoma of radius R moves tissue at distance r outwards to ``(r^3 + R^3)^(1/3)``, as an incompressible medium would.
A collection on the surface pushes along one direction, less with distance. Motion fades to nothing at the skull, to a
share across the midline (the lateral ventricle on the way is squeezed) and is small beyond the tentorium. The field is
used backwards (each new voxel asks where it came from), so there are no holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from dicomnode.cohort.canvas import Canvas, Point
from dicomnode.cohort.edition import Edition
from dicomnode.cohort.fields import Field

LEAST_MM = 0.25
SEPTUM: Point = (0.0, -10.0, 16.0)
"""Where midline shift is measured: the septum pellucidum."""


@dataclass(frozen=True, slots=True)
class Ball:
    """Something round that takes room at a place."""

    centre_mm: Point
    volume_ml: float


@dataclass(frozen=True, slots=True)
class Push:
    """A surface collection: centre of the collection and how far it pushes along minus its direction."""

    centre_mm: Point
    depth_mm: float


@dataclass(frozen=True, slots=True)
class Layer:
    """A motion given voxel by voxel, to be named after other causes.

    Attributes
    ----------
    index : flat. ``motion_mm`` : (3, voxels) how far each moves (x, y, z), head coordinates.
    kept : (voxels,) share of the motion by causes named before that remains there.
    """

    index: NDArray[np.intp]
    motion_mm: NDArray[np.float32]
    kept: Field


def _fade(canvas: Canvas, cavity: NDArray[np.bool_], distance: Field, centre: Point, across: float) -> Field:
    """(voxels of the cavity,) share of the motion that skull, falx and tentorium leave."""
    x, y, z = canvas.x[cavity], canvas.y[cavity], canvas.z[cavity]
    skull = np.clip(-distance[cavity] / 12.0, 0.0, 1.0)
    side = 0.0 if abs(centre[0]) < 5.0 else float(np.sign(centre[0]))
    own_side = 1.0 / (1.0 + np.exp(np.clip(-side * (x - side * 6.0) / 4.0, -30, 30)))
    falx = 1.0 if side == 0.0 else across + (1.0 - across) * own_side
    level = z + 10.0 + 0.3 * np.abs(x)
    above = 1.0 / (1.0 + np.exp(np.clip(-level / 4.0, -30, 30)))
    behind = 1.0 / (1.0 + np.exp(np.clip(-(y - 4.0) / 5.0, -30, 30)))
    below_tentorium = (1.0 - above) * behind
    lesion_below = centre[2] < -15.0 and centre[1] > 10.0
    tentorium = 0.15 + 0.85 * (below_tentorium if lesion_below else 1.0 - below_tentorium)
    return np.asarray(skull * falx * tentorium, np.float32)


Cause = Ball | Push | Layer


def motion_mm(
    canvas: Canvas, cavity: NDArray[np.bool_], distance: Field, causes: Sequence[Cause], edition: Edition
) -> NDArray[np.float32]:
    """(3, voxels) how far what is now in each voxel of the cavity has come (x, y, z), mm in head coordinates.

    Parameters
    ----------
    cavity : (z, y, x) bool, or a part of it where no cause is a layer.
    """
    place = np.stack([canvas.x[cavity], canvas.y[cavity], canvas.z[cavity]])
    total = np.zeros_like(place)
    for cause in causes:
        if isinstance(cause, Layer):
            here = np.searchsorted(np.flatnonzero(cavity), cause.index)
            total[:, here] = cause.kept * total[:, here] + cause.motion_mm
            continue
        away = place - np.asarray(cause.centre_mm, np.float32)[:, None]
        r = np.sqrt((away**2).sum(axis=0)) + 1e-3
        fade = _fade(canvas, cavity, distance, cause.centre_mm, edition.across)
        if isinstance(cause, Ball):
            cubed = 3.0 * edition.pressure * cause.volume_ml * 1000.0 / (4.0 * np.pi)
            move = r - np.cbrt(np.maximum(r**3 - cubed, 0.0))
            total += away / r * np.minimum(move, 0.8 * r) * fade
        else:
            inward = -np.asarray(cause.centre_mm, np.float32) / float(np.linalg.norm(cause.centre_mm))
            total += inward[:, None] * (cause.depth_mm * np.exp(-((r / 90.0) ** 2)) * fade)
    return np.asarray(total, np.float32)


def displace(
    canvas: Canvas,
    regions: NDArray[np.uint8],
    distance: Field,
    causes: Sequence[Cause],
    edition: Edition,
) -> float:
    """Move what lies within the skull, in place: ``canvas.hu``, ``canvas.labels`` and ``regions``.

    Parameters
    ----------
    distance : (z, y, x) signed distance to the inner skull, negative inside.
    edition : how strongly it pushes, and which shift is returned.

    Returns
    -------
    Midline shift in mm at the septum pellucidum: motion to the left positive.
    """
    if not causes:
        return 0.0
    cavity = distance < 0
    moved = motion_mm(canvas, cavity, distance, causes, edition)
    place = np.stack([axis[cavity] for axis in (canvas.x, canvas.y, canvas.z)])
    came_from = place - moved if edition.follows_septum else place
    septum = ((came_from - np.array(SEPTUM, np.float32)[:, None]) ** 2).sum(axis=0)
    shift_mm = float(moved[0, int(np.argmin(septum))])
    far = (moved**2).sum(axis=0) > LEAST_MM**2
    index = np.stack(np.nonzero(cavity))[:, far]
    block = canvas.rotation.T.astype(np.float32) @ moved[:, far]
    source = index - block[::-1] / canvas.spacing_mm
    nearest = tuple(np.clip(np.rint(source).astype(int), 0, np.array(canvas.shape)[:, None] - 1))
    inside = cavity[nearest]
    target, nearest = tuple(index[:, inside]), tuple(axis[inside] for axis in nearest)
    canvas.hu[target] = map_coordinates(canvas.hu, source[:, inside], order=1, mode="nearest")
    canvas.labels[target] = canvas.labels[nearest]
    regions[target] = regions[nearest]
    return shift_mm

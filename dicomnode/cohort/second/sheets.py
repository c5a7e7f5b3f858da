"""Where collections lie outside the brain, below the vault, on falx and tentorium, and how thick they are there.

A collection fills the space between dura and arachnoid, so a depth below the dura and a thickness for every place on it
say all of its shape; brain below moves inwards by that thickness. A subdural crosses sutures and spreads to a crescent,
but not over the midline; an epidural stays within its plate of bone and bulges to a lens. Of small subdurals on falx
and tentorium the mean thickness is 2.8 mm, range 1 to 8 (80 patients, AJNR 2018;39:654); profiles are this cohort's
own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.fields import Field
from dicomnode.cohort.lesions import Surface
from dicomnode.cohort.mass_effect import Layer
from dicomnode.cohort.second.ground import Ground, Index

SKULL_MM = np.array([66.0, 83.0, 73.0], np.float32)
"""Half axes of the vault: directions are those of a sphere of them."""
RADIUS_MM = 74.0
REACH_MM = 62.0
FADE_MM = 18.0
"""Depth below a collection over which motion of the brain falls to a third."""
PATCH_RAD = 0.62
"""Half width of a plate of bone between sutures, as an angle."""
DURA_MM = 1.1
"""Thickness of the dura: voxels so near to bone hold more of it than of blood, and no reader marks them."""
LEAST_MM = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Voxels below a stretch of dura.

    Attributes
    ----------
    index : flat, ascending. ``depth_mm`` : below the dura. ``normal`` : (3, voxels) inwards, head coordinates.
    away : from the middle of the collection along the dura, radians of ``RADIUS_MM``.
    room : 0 to 1, thins the collection where the dura ends.
    power : of the profile; 2 is a lens, more is flatter. ``widest`` : limit of ``away``.
    """

    index: Index
    depth_mm: Field
    normal: NDArray[np.float32]
    away: Field
    room: Field
    power: float
    widest: float

    def thickness(self, thickest_mm: float, extent: float) -> Field:
        """(voxels,) thickness over each voxel of a collection that ends at ``extent``."""
        shape = np.clip(1.0 - (self.away / extent) ** self.power, 0.0, None) * self.room
        return np.asarray(thickest_mm * shape, np.float32)


def fitted(sheet: Sheet, thickest_mm: float, voxels: int) -> Field:
    """(voxels of the sheet,) thickness for a volume: as wide as it must be, then thicker if it cannot."""
    near = np.flatnonzero((sheet.depth_mm > 0.0) & (sheet.depth_mm < thickest_mm))
    depth, away, room = sheet.depth_mm[near], sheet.away[near], sheet.room[near]
    low, high = 0.03, sheet.widest
    for _ in range(9):
        extent = 0.5 * (low + high)
        shape = np.clip(1.0 - (away / extent) ** sheet.power, 0.0, None) * room
        low, high = (low, extent) if np.count_nonzero(depth < thickest_mm * shape) > voxels else (extent, high)
    thickness = sheet.thickness(thickest_mm, high)
    order = filling_order(sheet, thickness)
    count = min(voxels, int(np.isfinite(order).sum()))
    return np.asarray(thickness * np.partition(order, count - 1)[count - 1], np.float32)


def filling_order(sheet: Sheet, thickness: Field) -> Field:
    """(voxels of the sheet,) order in which a collection fills: below 1 within it, infinite where it does not reach."""
    thick = thickness > LEAST_MM
    thick &= sheet.depth_mm > 0.0
    return np.where(thick, sheet.depth_mm / np.maximum(thickness, LEAST_MM), np.inf).astype(np.float32)


def layer(sheet: Sheet, thickness: Field, spacing_mm: float) -> Layer:
    """Motion of the brain below a collection; nothing comes from where a voxel holds bone."""
    below = np.maximum(sheet.depth_mm - thickness, 0.0)
    far = np.clip(thickness * np.exp(-below / FADE_MM), 0.0, np.maximum(sheet.depth_mm - 1.7 * spacing_mm, 0.0))
    moved = thickness > 0.2
    kept = 1.0 - np.exp(-below[moved] / FADE_MM)
    return Layer(sheet.index[moved], np.asarray(sheet.normal[:, moved] * far[moved], np.float32), kept)


def _below(sheet: Sheet) -> Sheet:
    """A sheet from the outer face of the dura on: it is as pale as blood, and part of no collection."""
    kept = sheet.depth_mm > -DURA_MM
    return replace(
        sheet,
        index=sheet.index[kept],
        depth_mm=sheet.depth_mm[kept],
        normal=sheet.normal[:, kept],
        away=sheet.away[kept],
        room=sheet.room[kept],
    )


def _inwards(ground: Ground, index: Index) -> NDArray[np.float32]:
    """(3, voxels) unit vectors away from the skull, head coordinates."""
    _, rows, columns = ground.canvas.shape
    flat = ground.distance.ravel()
    steps = (1, columns, rows * columns)
    block = np.stack([flat[index - step] - flat[index + step] for step in steps])
    block /= np.maximum(np.sqrt((block**2).sum(axis=0)), 1e-6)
    return np.asarray(ground.canvas.rotation.astype(np.float32) @ block, np.float32)


def _coordinates(ground: Ground, index: Index) -> tuple[Field, Field, Field]:
    canvas = ground.canvas
    return canvas.x.ravel()[index], canvas.y.ravel()[index], canvas.z.ravel()[index]


def vault(ground: Ground, axis: NDArray[np.float64], *, lens: bool, above: Field | None = None) -> Sheet:
    """Below the vault on one side, around a direction.

    Parameters
    ----------
    axis : (3,) unit vector in directions of ``SKULL_MM``; its x tells the side.
    lens : an epidural, within its plate of bone; else a subdural.
    above : (z, y, x) thickness in mm of what already lies between skull and this collection.
    """
    side, canvas = float(np.sign(axis[0])), ground.canvas
    lowest = -34.0 if lens else -16.0
    here = (ground.distance < 0.0) & (ground.distance > -REACH_MM) & (canvas.x * side > 1.5) & (canvas.z > lowest)
    index = np.flatnonzero(here)
    x, y, z = _coordinates(ground, index)
    place = np.stack([x, y, z]) / SKULL_MM[:, None]
    place /= np.maximum(np.sqrt((place**2).sum(axis=0)), 1e-3)
    away = np.arccos(np.clip(axis.astype(np.float32) @ place, -1.0, 1.0))
    room = np.clip((x * side - 1.5) / 10.0, 0.0, 1.0) * np.clip((z - lowest) / 12.0, 0.0, 1.0)
    depth = -ground.distance.ravel()[index] - (0.7 * DURA_MM if lens else DURA_MM)
    depth = depth - above.ravel()[index] if above is not None else depth
    sheet = Sheet(
        index=index,
        depth_mm=np.asarray(depth, np.float32),
        normal=_inwards(ground, index),
        away=np.asarray(away, np.float32),
        room=np.asarray(np.sqrt(room), np.float32),
        power=2.0 if lens else 2.3,
        widest=PATCH_RAD if lens else 2.2,
    )
    return _below(sheet)


def falx(ground: Ground, side: float, rng: np.random.Generator) -> Sheet:
    """Along the falx, on one side of it, in front or behind."""
    canvas = ground.canvas
    middle = (-46.0, 26.0) if rng.random() < 0.4 else (44.0, 30.0)
    zone = ((np.abs(canvas.y) > 32.0) | (canvas.z > 28.0)) & (canvas.z > -10.0) & (ground.distance > -44.0)
    across = canvas.x * side
    index = np.flatnonzero(zone & (across > 0.0) & (across < 36.0) & (ground.distance < 0.0))
    x, y, z = _coordinates(ground, index)
    normal = np.zeros((3, index.size), np.float32)
    normal[0] = side
    room = np.clip((ground.distance.ravel()[index] + 44.0) / 10.0, 0.0, 1.0)
    sheet = Sheet(
        index=index,
        depth_mm=np.asarray(x * side - DURA_MM, np.float32),
        normal=normal,
        away=np.asarray(np.hypot(0.7 * (y - middle[0]), z - middle[1]) / RADIUS_MM, np.float32),
        room=np.asarray(np.sqrt(room), np.float32),
        power=4.0,
        widest=1.6,
    )
    return _below(sheet)


def tentorium(ground: Ground, side: float) -> Sheet:
    """On the upper face of the tentorium, on one side."""
    canvas = ground.canvas
    above = (canvas.z + 8.0 + 0.42 * np.abs(canvas.x)) * 0.92
    zone = (canvas.y > 8.0) & (canvas.x * side > 2.0) & (above > 0.0) & (above < 26.0) & (ground.distance < 0.0)
    index = np.flatnonzero(zone)
    x, y, _ = _coordinates(ground, index)
    normal = np.zeros((3, index.size), np.float32)
    normal[0], normal[2] = side * 0.39, 0.92
    room = np.clip((np.hypot(x, y - 18.0) - 17.0) / 6.0, 0.0, 1.0)
    sheet = Sheet(
        index=index,
        depth_mm=np.asarray(above.ravel()[index] - DURA_MM, np.float32),
        normal=normal,
        away=np.asarray(np.hypot(x - side * 26.0, y - 40.0) / RADIUS_MM, np.float32),
        room=np.asarray(np.sqrt(room), np.float32),
        power=4.0,
        widest=1.0,
    )
    return _below(sheet)


def epidural_axis(side: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Direction of an epidural: temporal or temporoparietal in two thirds, else frontal, parietal or behind."""
    places = [(-0.1, -0.05), (0.35, 0.25), (-0.8, 0.3), (0.6, 0.7), (1.1, 0.05)]
    azimuth, elevation = places[int(rng.choice(5, p=[0.42, 0.24, 0.14, 0.12, 0.08]))]
    return _direction(side, azimuth + rng.normal(0.0, 0.12), elevation + rng.normal(0.0, 0.1))


def subdural_axis(side: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Direction of the thickest part of a subdural: frontoparietal convexity in most."""
    return _direction(side, rng.normal(-0.05, 0.45), rng.uniform(0.15, 0.75))


def _direction(side: float, azimuth: float, elevation: float) -> NDArray[np.float64]:
    flat = np.cos(elevation)
    return np.array([side * np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(elevation)])


def subdural_sheet(ground: Ground, above: Field | None) -> Sheet:
    """The dura on which this scan's subdural lies."""
    shown, rng = ground.shown, ground.rng("subdural place")
    side = float(shown.side)
    if shown.surface is Surface.FALX:
        return falx(ground, side, rng)
    if shown.surface is Surface.TENTORIUM:
        return tentorium(ground, side)
    return vault(ground, subdural_axis(side, rng), lens=False, above=above)

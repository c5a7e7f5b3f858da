"""Bleeds of six kinds, painted where they take room: blood pushes the brain away, mixes at its rim, fills fluid.

Shapes are drawn in patient coordinates, so that they are right on tilted and unevenly spaced slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.cohort.findings import Finding
from dicomnode.train.ground.ground import Field, Ground, Mask

BLOOD_ABOVE_BRAIN_HU = (16.0, 45.0)
TEXTURE = 0.6
"""How much of the scanner's noise stays in a bleed."""
RIM_MM = 0.7
GIVES_WAY_MM = 45.0
"""As deep as this the brain gives way to what pushes on its surface."""
OEDEMA_HU = (5.0, 11.0)
DEEP_MM = 14.0
CONVEX = 0.55
"""Of the widest slice: extra-axial blood has its middle where a slice shows at least this much brain."""
DOWNWARD = 1.8


class Kind(StrEnum):
    """What is painted."""

    PARENCHYMAL = "parenchymal"
    SUBDURAL = "subdural"
    EPIDURAL = "epidural"
    SUBARACHNOID = "subarachnoid"
    VENTRICULAR = "ventricular"


@dataclass(frozen=True, slots=True)
class Painted:
    """A head with a bleed.

    Attributes
    ----------
    hu, findings : (slices, rows, columns); values of :class:`dicomnode.cohort.findings.Finding`.
    """

    hu: Field
    findings: NDArray[np.uint8]


def paint(ground: Ground, kind: Kind, rng: np.random.Generator) -> Painted:
    """Paint one bleed of random place and size."""
    return PAINTERS[kind](ground, rng)


def clean(ground: Ground) -> Painted:
    """The head as it is."""
    return Painted(ground.volume.hu, np.zeros(ground.brain.shape, np.uint8))


def _noise(ground: Ground, wave_mm: float, rng: np.random.Generator) -> Field:
    """Smooth noise of SD 1."""
    stack = ground.volume.stack
    between_mm = float(np.median(np.abs(np.diff(ground.points_mm[:, 0, 0, 2])))) or 1.0
    edges = (between_mm, stack.row_spacing_mm, stack.column_spacing_mm)
    drawn = ndimage.gaussian_filter(
        rng.standard_normal(ground.brain.shape).astype(np.float32), [wave_mm / e for e in edges]
    )
    return np.asarray(drawn / drawn.std(), np.float32)


def _blood_hu(ground: Ground, rng: np.random.Generator) -> Field:
    """What blood measures at each voxel: clots are uneven."""
    level = ground.brain_hu + rng.uniform(*BLOOD_ABOVE_BRAIN_HU)
    return np.asarray(level + rng.uniform(1.0, 5.0) * _noise(ground, 6.0, rng), np.float32)


def _mixed(ground: Ground, hu: Field, cover: Field, blood_hu: Field, finding: Finding) -> Painted:
    """``cover`` of blood on a head, with the noise of the scan left in it."""
    smooth = ndimage.gaussian_filter(hu, (0.0, 2.0, 2.0))
    inside = hu - np.where(ground.brain, smooth, hu)
    drawn = hu + cover * (blood_hu + TEXTURE * np.clip(inside, -25.0, 25.0) - hu)
    labels = np.where(cover > 0.5, np.uint8(finding), np.uint8(0))
    return Painted(drawn.astype(np.float32), labels)


def _rim(ground: Ground, mask: Mask) -> Field:
    """Share of a voxel that a mask covers: its edge is as blurred as the scanner sees it."""
    stack = ground.volume.stack
    sigma = (0.0, RIM_MM / stack.row_spacing_mm, RIM_MM / stack.column_spacing_mm)
    cover = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    # a thick slice meets the end of a bleed with a part of its thickness
    ends = mask & ~(np.roll(mask, 1, axis=0) & np.roll(mask, -1, axis=0))
    return np.asarray(cover * np.where(ends, 0.8, 1.0), np.float32)


def _chosen(mask: Mask, rng: np.random.Generator) -> tuple[int, ...]:
    places = np.flatnonzero(mask)
    return tuple(int(i) for i in np.unravel_index(int(rng.choice(places)), mask.shape))


def _grown(ground: Ground, order: Field, room: Mask, volume_ml: float) -> Mask:
    """The voxels of least ``order`` in a room, as many as make up a volume, or all."""
    places = np.flatnonzero(room & np.isfinite(order))
    places = places[np.argsort(order.ravel()[places], kind="stable")]
    pixels = ground.brain[0].size
    filled = np.cumsum(ground.volume.stack.voxel_ml[places // pixels])
    mask = np.zeros(ground.brain.size, np.bool_)
    mask[places[: int(np.searchsorted(filled, volume_ml)) + 1]] = True
    return mask.reshape(ground.brain.shape)


def _parenchymal(ground: Ground, rng: np.random.Generator) -> Painted:
    """An ellipsoid with an uneven edge, and oedema around it."""
    room = ground.brain & (ground.depth_mm > 3.0)
    centre = ground.points_mm[_chosen(ground.brain & (ground.depth_mm > DEEP_MM) & (ground.fluid < 0.5), rng)]
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0] * rng.uniform(0.7, 1.3, 3)
    order = np.linalg.norm((ground.points_mm - centre) @ axes, axis=-1)
    order = order * (1.0 + 0.12 * _noise(ground, 7.0, rng)) + 40.0 * (ground.fluid > 0.7)
    volume_ml = float(np.clip(np.exp(rng.normal(np.log(9.0), 1.0)), 0.8, 90.0))
    mask = _grown(ground, order, room, volume_ml)
    around = _grown(ground, order, room, volume_ml * rng.uniform(1.2, 2.2)) & (ground.fluid < 0.5)
    hu = ground.volume.hu - np.float32(rng.uniform(*OEDEMA_HU)) * _rim(ground, around)
    painted = _mixed(ground, hu, _rim(ground, mask), _blood_hu(ground, rng), Finding.INTRAPARENCHYMAL)
    oedema = around & (painted.findings == 0)
    return Painted(painted.hu, np.where(oedema, np.uint8(Finding.OEDEMA), painted.findings))


def _surface(ground: Ground, rng: np.random.Generator) -> tuple[Field, Mask]:
    """Distance in mm from a random place of the convexity, and its side of the head."""
    edge = ground.brain & (ground.depth_mm > 0) & (ground.depth_mm < 1.5)
    wide = ground.brain.sum(axis=(1, 2))
    edge &= (wide > CONVEX * wide.max())[:, None, None]
    centre = ground.points_mm[_chosen(edge, rng)]
    middle = float(ground.points_mm[ground.brain][:, 0].mean())
    side = np.sign(centre[0] - middle) or 1.0
    away = ground.points_mm - centre
    # the tentorium and the floor of the skull end what runs down the convexity
    away[..., 2] *= np.where(away[..., 2] < 0.0, DOWNWARD, 1.0)
    distance = np.linalg.norm(away, axis=-1)
    return distance.astype(np.float32), np.asarray((ground.points_mm[..., 0] - middle) * side > 2.0)


def _pressed(ground: Ground, thickness_mm: Field, rng: np.random.Generator, finding: Finding) -> Painted:
    """A layer of blood below the table; what lies under it moves away."""
    thickness = np.minimum(thickness_mm, 0.6 * GIVES_WAY_MM)
    depth = ground.depth_mm
    share = np.clip((depth - thickness) / (GIVES_WAY_MM - thickness), 0.0, None)
    source = np.where(depth < GIVES_WAY_MM, share * GIVES_WAY_MM, depth)
    moved = np.where(ground.brain & (thickness > 0) & (depth >= thickness), depth - source, 0.0)
    hu = _moved_outward(ground, moved.astype(np.float32))
    mask = ground.brain & (thickness > 0.6) & (depth < thickness)
    return _mixed(ground, hu, _rim(ground, mask) * ground.brain, _blood_hu(ground, rng), finding)


def _moved_outward(ground: Ground, by_mm: Field) -> Field:
    """Every voxel shows what lay ``by_mm`` nearer to the table."""
    stack = ground.volume.stack
    down, across = (np.gradient(ndimage.gaussian_filter(ground.depth_mm, (0, 3, 3)), axis=axis) for axis in (1, 2))
    length = np.maximum(np.hypot(down, across), 1e-3)
    k, row, column = np.indices(by_mm.shape, dtype=np.float32)
    index = [
        k,
        row - by_mm / stack.row_spacing_mm * down / length,
        column - by_mm / stack.column_spacing_mm * across / length,
    ]
    drawn = ground.volume.hu.copy()
    where = by_mm > 0.05
    drawn[where] = ndimage.map_coordinates(ground.volume.hu, [axis[where] for axis in index], order=1)
    return drawn


def _subdural(ground: Ground, rng: np.random.Generator) -> Painted:
    """A crescent: thin, wide, on one side."""
    distance, side = _surface(ground, rng)
    reach = rng.uniform(30.0, 95.0)
    peak = float(np.clip(np.exp(rng.normal(np.log(5.5), 0.5)), 2.0, 18.0))
    uneven = 1.0 + 0.25 * _noise(ground, 20.0, rng)
    thickness = peak * np.sqrt(np.clip(1.0 - (distance / reach) ** 2, 0.0, None)) * np.clip(uneven, 0.3, 1.7)
    return _pressed(ground, np.where(side, thickness, 0.0).astype(np.float32), rng, Finding.SUBDURAL)


def _epidural(ground: Ground, rng: np.random.Generator) -> Painted:
    """A lens: thick and narrow."""
    distance, side = _surface(ground, rng)
    reach = rng.uniform(16.0, 40.0)
    peak = rng.uniform(0.3, 0.7) * reach
    thickness = peak * np.clip(1.0 - (distance / reach) ** 2, 0.0, None)
    return _pressed(ground, np.where(side, thickness, 0.0).astype(np.float32), rng, Finding.EPIDURAL)


def _subarachnoid(ground: Ground, rng: np.random.Generator) -> Painted:
    """Blood that takes the place of the fluid in furrows and cisterns around a place."""
    outer = ground.brain & ~ndimage.binary_dilation(ground.ventricles, iterations=4)
    centre = ground.points_mm[_chosen(outer & (ground.fluid > 0.6), rng)]
    near = np.linalg.norm(ground.points_mm - centre, axis=-1) / rng.uniform(20.0, 60.0)
    share = np.clip(1.6 - near, 0.0, 1.0) * np.clip(0.8 + 0.3 * _noise(ground, 12.0, rng), 0.0, 1.0)
    cover = np.where(outer, ground.fluid * share, 0.0).astype(np.float32)
    return _mixed(ground, ground.volume.hu, cover, _blood_hu(ground, rng), Finding.SUBARACHNOID)


def _ventricular(ground: Ground, rng: np.random.Generator) -> Painted:
    """Blood that settles in the ventricles from the back."""
    back = -ground.points_mm[..., 1] + 2.0 * _noise(ground, 8.0, rng)
    full_ml = float(ground.ventricles.sum(axis=(1, 2)) @ ground.volume.stack.voxel_ml)
    mask = _grown(ground, back, ground.ventricles, rng.uniform(0.05, 0.6) * full_ml)
    return _mixed(ground, ground.volume.hu, _rim(ground, mask), _blood_hu(ground, rng), Finding.INTRAVENTRICULAR)


PAINTERS = {
    Kind.PARENCHYMAL: _parenchymal,
    Kind.SUBDURAL: _subdural,
    Kind.EPIDURAL: _epidural,
    Kind.SUBARACHNOID: _subarachnoid,
    Kind.VENTRICULAR: _ventricular,
}

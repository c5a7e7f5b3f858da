"""One synthetic head: anatomy plus bleeds on a cubic grid, before any scanner has seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort import anatomy, brain
from dicomnode.cohort.bleeds import Bleed, draw_hu, draw_volume_ml, paint_bleed
from dicomnode.cohort.canvas import CENTRE_MM, EXTENT_MM, Canvas, blank_canvas
from dicomnode.cohort.fields import Field, coverage
from dicomnode.cohort.regions import region_map
from dicomnode.cohort.statistics import BleedKind
from dicomnode.cohort.streams import stream


@dataclass(frozen=True, slots=True)
class BleedOrder:
    """A bleed to paint; what is None is drawn from the published statistics."""

    kind: BleedKind
    volume_ml: float | None = None
    hu: float | None = None


@dataclass(frozen=True, kw_only=True)
class SyntheticHead:
    """A head without scanner: no noise, no blur, no slices.

    Attributes
    ----------
    hu : (z, y, x) float32; x increases to the left, y to the back, z to the crown.
    mask : (z, y, x) bool, True in blood.
    labels : (z, y, x) uint8 of :class:`~dicomnode.cohort.canvas.Tissue` below the bleeds.
    cavity : (z, y, x) bool, the space within the skull.
    spacing_mm : (z, y, x), all equal.
    origin_mm : (z, y, x) position of the centre of voxel (0, 0, 0), head coordinates.
    bleeds : as painted, possibly none.
    regions : (z, y, x) uint8 of :class:`~dicomnode.measure.anatomy.atlas.Label`.
    """

    seed: int
    hu: Field
    mask: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    cavity: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    bleeds: tuple[Bleed, ...]
    regions: NDArray[np.uint8]

    @property
    def volume_ml(self) -> float:
        """Blood in all bleeds."""
        return float(np.count_nonzero(self.mask)) * float(np.prod(self.spacing_mm)) / 1000.0


def paint_anatomy(canvas: Canvas, build: anatomy.Build) -> tuple[Field, Field]:
    """Paint all but bleeds; returns distance to the inner skull and share inside it."""
    distance = anatomy.cavity_distance(canvas, build)
    inside = coverage(distance, canvas.spacing_mm)
    anatomy.paint_soft_envelope(canvas, build, distance)
    anatomy.paint_air_spaces(canvas)
    anatomy.paint_orbits(canvas)
    anatomy.paint_skull(canvas, build, distance)
    brain.paint_brain(canvas, build, distance, inside)
    brain.paint_ventricles(canvas, build, inside)
    brain.paint_cisterns(canvas, build, inside)
    brain.paint_old_lesions(canvas, inside)
    brain.paint_dura(canvas, build, distance, inside)
    brain.paint_vessels(canvas, build, inside)
    brain.paint_calcifications(canvas, inside)
    return distance, inside


def make_head(
    seed: int,
    *,
    bleeds: Sequence[BleedOrder] = (),
    rotation_deg: tuple[float, float, float] | None = None,
    spacing_mm: float = 1.0,
) -> SyntheticHead:
    """Make one head.

    Parameters
    ----------
    seed : decides everything that is not given.
    bleeds : to paint, in this order; none makes a head without bleed.
    rotation_deg : pitch, roll and yaw; None draws them (SD 4 degrees).
    spacing_mm : of the cubic grid.

    Returns
    -------
    The same head, bit for bit, for the same arguments.
    """
    pose = stream(seed, "pose").normal(0.0, 4.0, 3) if rotation_deg is None else np.asarray(rotation_deg)
    build = anatomy.draw_build(stream(seed, "build"))
    canvas = blank_canvas(seed, spacing_mm, list(pose), 2.0)
    distance, inside = paint_anatomy(canvas, build)
    mask = np.zeros(canvas.shape, bool)
    painted = []
    for index, order in enumerate(bleeds):
        rng = stream(seed, "bleed", index)
        volume = draw_volume_ml(order.kind, rng) if order.volume_ml is None else order.volume_ml
        hu = draw_hu(order.kind, rng) if order.hu is None else order.hu
        painted.append(paint_bleed(canvas, distance, mask, order.kind, volume, hu, rng))
    brain.harden_beam(canvas, distance, inside)
    cavity = distance < 0
    regions = region_map(canvas, cavity)
    origin = tuple((0.5 * spacing_mm) - extent / 2 - shift for extent, shift in zip(EXTENT_MM, CENTRE_MM, strict=True))
    spacing = (spacing_mm, spacing_mm, spacing_mm)
    return SyntheticHead(
        seed=seed,
        hu=canvas.hu,
        mask=mask,
        labels=canvas.labels,
        cavity=cavity,
        spacing_mm=spacing,
        origin_mm=(origin[0], origin[1], origin[2]),
        bleeds=tuple(painted),
        regions=regions,
    )

"""Bleeds of five kinds, grown to an exact volume in their own compartment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import Canvas, Point, Tissue
from dicomnode.cohort.fields import Field, ellipsoid
from dicomnode.cohort.statistics import BLEED_STATISTICS, BleedKind

IPH_SITES: tuple[tuple[Point, Point, float], ...] = (
    ((25.0, -4.0, 5.0), (4.0, 8.0, 6.0), 0.38),
    ((12.0, 6.0, 5.0), (3.0, 5.0, 4.0), 0.17),
    ((38.0, 0.0, 35.0), (12.0, 40.0, 14.0), 0.33),
    ((22.0, 50.0, -40.0), (8.0, 8.0, 6.0), 0.08),
    ((2.0, 19.0, -36.0), (2.0, 2.0, 5.0), 0.04),
)
"""Mean place (right or left by chance), spread and share: basal ganglia, thalamus, lobar, cerebellum, brain stem.
Shares after population studies of spontaneous ICH: deep about one half, lobar a third, infratentorial a tenth."""


@dataclass(frozen=True, slots=True)
class Bleed:
    """One painted bleed.

    Attributes
    ----------
    volume_ml : painted voxels x voxel volume.
    hu : mean attenuation of the clot.
    """

    kind: BleedKind
    volume_ml: float
    hu: float


def draw_volume_ml(kind: BleedKind, rng: np.random.Generator) -> float:
    """Volume per scan from the fitted lognormal, within its limits."""
    fit = BLEED_STATISTICS[kind]
    while True:
        volume = float(np.exp(rng.normal(fit.log_mean, fit.log_sd)))
        if fit.volume_limits_ml[0] <= volume <= fit.volume_limits_ml[1]:
            return volume


def draw_hu(kind: BleedKind, rng: np.random.Generator) -> float:
    """Attenuation of the clot."""
    fit = BLEED_STATISTICS[kind]
    return float(np.clip(rng.normal(fit.hu_mean, fit.hu_sd), *fit.hu_limits))


def smallest(order: Field, allowed: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Mask of the ``count`` allowed voxels with the smallest order."""
    candidates = np.flatnonzero(allowed)
    count = min(count, candidates.size)
    result = np.zeros(order.shape, bool)
    if count:
        picked = candidates[np.argpartition(order.ravel()[candidates], count - 1)[:count]]
        result.ravel()[picked] = True
    return result


def _intraparenchymal(
    canvas: Canvas, distance: Field, volume_ml: float, rng: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    mean, spread, _ = IPH_SITES[rng.choice(len(IPH_SITES), p=[site[2] for site in IPH_SITES])]
    place = rng.normal(mean, spread) * np.array([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    radius = (volume_ml * 1000.0 * 0.75 / np.pi) ** (1.0 / 3.0)
    axes = radius * np.exp(rng.normal(0.0, 0.22, 3))
    order = ellipsoid(canvas.x, canvas.y, canvas.z, (place[0], place[1], place[2]), (axes[0], axes[1], axes[2]))
    order = order + rng.uniform(0.05, 0.2) * radius * canvas.noise("bleed shape", max(5.0, 0.7 * radius))
    matter = (canvas.labels >= Tissue.VENTRICLE) & (canvas.labels <= Tissue.GREY_MATTER)
    return order, matter & (distance < -2.0)


def _intraventricular(canvas: Canvas, distance: Field, rng: np.random.Generator) -> tuple[Field, NDArray[np.bool_]]:
    settled = -canvas.y * rng.uniform(0.3, 1.0) - canvas.z * rng.uniform(0.0, 0.3)
    order = settled + 12.0 * canvas.x * rng.choice([-1.0, 0.0, 1.0]) + 4.0 * canvas.noise("bleed shape", 8.0)
    return order.astype(np.float32), canvas.labels == Tissue.VENTRICLE


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit vector from the brain centre to a place on the convexity, right or left."""
    azimuth, elevation = rng.uniform(-1.2, 1.2), rng.uniform(-0.1, 0.8)
    side = rng.choice([-1.0, 1.0])
    return np.array(
        [side * np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )


def subdural_growth(
    canvas: Canvas, distance: Field, volume_ml: float, axis: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    """Order in which a crescent below the skull fills, thickest along ``axis`` (unit vector), and where it may lie."""
    radius = np.sqrt(canvas.x**2 + canvas.y**2 + canvas.z**2) + 1e-3
    along = (canvas.x * axis[0] + canvas.y * axis[1] + canvas.z * axis[2]) / radius
    peak_mm = rng.uniform(4.0, 11.0)
    wide = 1.0 - float(np.clip(2.0 * volume_ml * 1000.0 / peak_mm / (2.0 * np.pi * 75.0**2), 0.05, 1.0))
    thick = np.sqrt(np.clip(along - wide, 0.0, None)) * (1.0 + 0.15 * canvas.noise("bleed shape", 20.0))
    order = -distance / np.maximum(thick, 1e-3)
    allowed = (distance < -0.3) & (along > wide) & (canvas.x * axis[0] > 1.0) & (canvas.z > -12.0)
    return order.astype(np.float32), allowed & (distance > -30.0)


def epidural_growth(
    canvas: Canvas, distance: Field, axis: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    """Order in which a lens on the skull fills around ``axis`` (unit vector), and where it may lie."""
    bulge = rng.uniform(1.6, 3.0)
    inward = -distance
    radius = np.sqrt(canvas.x**2 + canvas.y**2 + canvas.z**2) + 1e-3
    along = (canvas.x * axis[0] + canvas.y * axis[1] + canvas.z * axis[2]) / radius
    sideways = 75.0 * np.arccos(np.clip(along, -1.0, 1.0))
    order = np.hypot(sideways / bulge, inward) + 0.6 * canvas.noise("bleed shape", 12.0)
    return order.astype(np.float32), (distance < -0.2) & (canvas.x * axis[0] > 1.0) & (distance > -45.0)


def _subarachnoid(canvas: Canvas, distance: Field, rng: np.random.Generator) -> tuple[Field, NDArray[np.bool_]]:
    axis = _direction(rng) * 60.0
    place = (0.0, -6.0, -20.0) if rng.random() < 0.4 else (axis[0], axis[1], axis[2])
    order = np.sqrt((canvas.x - place[0]) ** 2 + (canvas.y - place[1]) ** 2 + (canvas.z - place[2]) ** 2)
    return order + 10.0 * canvas.noise("bleed shape", 9.0), (canvas.labels == Tissue.CSF) & (distance > -32.0)


def _growth(
    canvas: Canvas, distance: Field, kind: BleedKind, volume_ml: float, rng: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    if kind is BleedKind.INTRAPARENCHYMAL:
        order, allowed = _intraparenchymal(canvas, distance, volume_ml, rng)
    elif kind is BleedKind.SUBDURAL:
        order, allowed = subdural_growth(canvas, distance, volume_ml, _direction(rng), rng)
    elif kind is BleedKind.EPIDURAL:
        order, allowed = epidural_growth(canvas, distance, _direction(rng), rng)
    elif kind is BleedKind.INTRAVENTRICULAR:
        order, allowed = _intraventricular(canvas, distance, rng)
    else:
        order, allowed = _subarachnoid(canvas, distance, rng)
    return order, np.asarray(allowed, bool)


def paint_bleed(
    canvas: Canvas,
    distance: Field,
    mask: NDArray[np.bool_],
    kind: BleedKind,
    volume_ml: float,
    hu: float,
    rng: np.random.Generator,
) -> Bleed:
    """Grow one bleed to its volume, paint it and add it to ``mask`` in place.

    Parameters
    ----------
    distance : (z, y, x) signed distance to the inner skull, negative inside.
    volume_ml : wanted; less is painted where the compartment is smaller.

    Returns
    -------
    The bleed as painted.
    """
    order, allowed = _growth(canvas, distance, kind, volume_ml, rng)
    voxel_ml = canvas.spacing_mm**3 / 1000.0
    grown = smallest(order, allowed & ~mask, max(1, round(volume_ml / voxel_ml)))
    if kind is BleedKind.INTRAPARENCHYMAL:
        _paint_oedema(canvas, order, grown, rng)
    texture = canvas.noise("clot", 4.0)[grown] * rng.uniform(1.0, 4.0)
    diluted = rng.uniform(0.75, 1.0) if kind is BleedKind.SUBARACHNOID else 1.0
    canvas.hu[grown] = canvas.hu[grown] * (1 - diluted) + diluted * (hu + texture)
    mask |= grown
    return Bleed(kind, float(np.count_nonzero(grown)) * voxel_ml, hu)


def _paint_oedema(canvas: Canvas, order: Field, grown: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Dark rim around a clot, in white and grey matter."""
    if not grown.any():
        return
    edge, width = float(order[grown].max()), rng.uniform(0.0, 8.0)
    rim = np.clip(1.0 - (order - edge) / max(width, 0.1), 0.0, 1.0) * ~grown
    matter = (canvas.labels == Tissue.WHITE_MATTER) | (canvas.labels == Tissue.GREY_MATTER)
    canvas.hu -= (rim * matter * rng.uniform(4.0, 14.0)).astype(np.float32)

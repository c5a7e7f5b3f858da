"""Lesions of the brain itself: clots, contusions, oedema, infarcts, contrast staining."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import Point, Tissue
from dicomnode.cohort.fields import Field, coverage, ellipsoid
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.second.clot import clot_hu, lay
from dicomnode.cohort.second.ground import Ground, Index

CONTUSED: tuple[tuple[Point, float], ...] = (
    ((17.0, -50.0, -10.0), 1.0),
    ((38.0, -28.0, -24.0), 0.9),
    ((20.0, -66.0, 4.0), 0.7),
    ((56.0, -2.0, -20.0), 0.6),
    ((31.0, -44.0, -8.0), 0.5),
)
"""Where brain strikes bone: orbital gyri, temporal pole, frontal pole, lower temporal gyri; and the weight of each."""
DARKEST_HU = 14.0
"""Oedema is no darker than that: CSF is."""
GREY_MM = 4.0
"""Oedema spreads in white matter as if grey matter were so much farther away."""


def foci(ground: Ground) -> list[tuple[Point, float]]:
    """Places and share of the volume of the foci of an intraparenchymal bleed: one, or several contusions."""
    shown = ground.shown
    if not shown.contused:
        return [(shown.place_mm, 1.0)]
    rng = ground.rng("contusions")
    count = int(rng.integers(2, 5))
    weights = np.array([weight for _, weight in CONTUSED])
    chosen = rng.choice(len(CONTUSED), count, replace=False, p=weights / weights.sum())
    sides = np.where(rng.random(count) < 0.75, shown.side, -shown.side)
    sizes = rng.uniform(0.25, 1.0, count)
    places = [(shown.place_mm, 1.2)]
    for site, side, size in zip(chosen, sides, sizes, strict=True):
        x, y, z = np.asarray(CONTUSED[site][0]) + rng.normal(0.0, 3.0, 3)
        places.append(((float(side * x), float(y), float(z)), float(size)))
    whole = sum(size for _, size in places)
    return [(place, size / whole) for place, size in places]


def _near(ground: Ground, allowed: NDArray[np.bool_], place: Point, reach_mm: float) -> Index:
    """Flat indices of allowed voxels within a cube around a place."""
    canvas = ground.canvas
    here = np.abs(canvas.x - place[0]) < reach_mm
    for axis, middle in ((canvas.y, place[1]), (canvas.z, place[2])):
        here &= np.abs(axis - middle) < reach_mm
    return np.flatnonzero(here & allowed)


def _around(
    ground: Ground, name: str, index: Index, place: Point, volume_ml: float, stretch: float, rough: float
) -> Field:
    """Distance-like order in mm of an irregular ellipsoid of a volume at a place: the same for every volume."""
    shape = np.exp(ground.rng(name).normal(0.0, stretch, 3))
    shape /= np.cbrt(shape.prod())
    radius = (max(volume_ml, 0.5) * 1000.0 * 0.75 / np.pi) ** (1.0 / 3.0)
    x, y, z = (axis.ravel()[index] for axis in (ground.canvas.x, ground.canvas.y, ground.canvas.z))
    axes = (radius * shape[0], radius * shape[1], radius * shape[2])
    noise = ground.canvas.noise(f"scene {name}", 9.0).ravel()[index]
    return np.asarray(ellipsoid(x, y, z, place, axes) + np.float32(rough * radius) * noise, np.float32)


def _reach_mm(volume_ml: float) -> float:
    return 14.0 + 2.6 * float(np.cbrt(max(volume_ml, 0.5) * 1000.0 * 0.75 / np.pi))


def _bleed_order(ground: Ground, allowed: NDArray[np.bool_], volume_ml: float) -> tuple[Index, Field]:
    """Where an intraparenchymal bleed and its oedema may lie, and in which order they grow there."""
    shown = ground.shown
    if shown.below_stain_ml:
        return _stain_order(ground, allowed, shown.below_stain_ml)
    size_ml = max(shown.iph_ml, 8.0) if shown.petechial else shown.iph_ml
    rough = 1.2 if shown.petechial else 0.28 if shown.contused else 0.1 + 0.1 * shown.heterogeneity
    order = np.full(ground.canvas.hu.size, np.inf, np.float32)
    for number, (place, share) in enumerate(foci(ground)):
        index = _near(ground, allowed, place, _reach_mm(share * max(volume_ml, size_ml)))
        grown = _around(ground, f"iph {number}", index, place, share * size_ml, 0.2, rough)
        order[index] = np.minimum(order[index], grown)
    index = np.flatnonzero(np.isfinite(order))
    return index, order[index]


def paint_intraparenchymal(ground: Ground) -> None:
    """Clot, contusions or specks, and the oedema around them."""
    shown = ground.shown
    infarct = ground.findings == Finding.INFARCT
    ground.findings[infarct] = Finding.NONE
    allowed = ground.matter & (ground.distance < -1.0)
    index, order = _bleed_order(ground, allowed, shown.iph_ml + shown.oedema_ml)
    grown = ground.put(Finding.INTRAPARENCHYMAL, index, order, shown.iph_ml)
    rank = np.full(ground.canvas.hu.size, np.inf, np.float32)
    rank[index] = order
    edge = float(rank[grown].max()) if grown.size else float(order.min(initial=0.0))
    if shown.oedema_ml:
        _oedema(ground, index, order, edge)
    if grown.size:
        _blood(ground, index, order - edge)
    ground.findings[infarct & (ground.findings == Finding.NONE)] = Finding.INFARCT


def _blood(ground: Ground, index: Index, beyond_mm: Field) -> None:
    """Clot with the voxels of its edge shared; contusions and specks let brain show between."""
    shown = ground.shown
    share = coverage(beyond_mm, 1.3 * ground.canvas.spacing_mm)
    own = ground.findings.ravel()[index]
    touched = (share > 0.02) & ((own == Finding.NONE) | (own == Finding.INTRAPARENCHYMAL) | (own == Finding.OEDEMA))
    index, share, beyond = index[touched], share[touched], beyond_mm[touched]
    value = clot_hu(ground, index)
    if shown.contused:
        grain = ground.canvas.noise("salt and pepper", 3.2).ravel()[index]
        share = share * np.clip(0.85 + 0.22 * grain, 0.45, 1.0)
    elif shown.petechial:
        share = 0.75 * share
    else:
        value = value - 3.0 * np.exp(np.minimum(beyond, 0.0) / 2.5)
    lay(ground, index, np.asarray(share, np.float32), value)


def _oedema(ground: Ground, index: Index, order: Field, edge: float) -> None:
    """Dark rim: darkest at the clot, fading outwards, farther in white matter."""
    shown = ground.shown
    grey = ground.canvas.labels.ravel()[index] == Tissue.GREY_MATTER
    spread = np.maximum(order - edge, 0.0) + GREY_MM * grey
    rim = ground.put(Finding.OEDEMA, index, np.asarray(spread, np.float32), shown.oedema_ml)
    if not rim.size:
        return
    darker = shown.oedema_hu or float(ground.rng("oedema").uniform(6.0, 12.0))
    _darken(ground, index, spread, rim, darker)


def _darken(ground: Ground, index: Index, spread: Field, rim: Index, darker_hu: float) -> None:
    rank = np.full(ground.canvas.hu.size, np.inf, np.float32)
    rank[index] = spread
    outer = float(rank[rim].max())
    weight = np.clip((1.25 * outer + 0.5 - spread) / (0.5 * outer + 1.0), 0.0, 1.0)
    near = (weight > 0) & np.isin(ground.findings.ravel()[index], (Finding.NONE, Finding.OEDEMA))
    here, hu = index[near], ground.canvas.hu.ravel()
    hu[here] = np.maximum(hu[here] - darker_hu * weight[near], np.minimum(hu[here], DARKEST_HU))


def _wedge(ground: Ground, index: Index) -> Field:
    """Order of an infarct: an ellipsoid at its place and a wedge from the deep branches through it to the cortex."""
    shown, canvas = ground.shown, ground.canvas
    apex = np.array([shown.side * 15.0, -2.0, 6.0])
    aim = np.asarray(shown.place_mm) - apex
    deep = float(np.linalg.norm(aim)) < 22.0
    aim = np.array([shown.side * 32.0, -8.0, 10.0]) + 0.5 * aim if deep else aim
    aim /= np.linalg.norm(aim)
    from_apex = np.stack([axis.ravel()[index] for axis in (canvas.x, canvas.y, canvas.z)]) - apex[:, None]
    r = np.sqrt((from_apex**2).sum(axis=0)) + 1e-3
    angle = np.arccos(np.clip((aim @ from_apex) / r, -1.0, 1.0))
    wedge = 42.0 * angle + np.maximum(18.0 - r, 0.0) + (14.0 if deep else 0.0)
    around = _around(ground, "infarct", index, shown.place_mm, 8.0 if deep else 2.0, 0.3, 0.25)
    return np.asarray(np.minimum(wedge, around) + 3.0 * canvas.noise("infarct edge", 10.0).ravel()[index], np.float32)


def paint_infarct(ground: Ground) -> None:
    """Dead brain: grey and white matter become alike before all turns dark; its edge is soft."""
    shown, canvas = ground.shown, ground.canvas
    own_side = (canvas.x * shown.side > 2.0) & (canvas.z > -30.0)
    index = np.flatnonzero(ground.matter & own_side)
    order = _wedge(ground, index)
    grown = ground.put(Finding.INFARCT, index, order, shown.infarct_ml)
    if not grown.size:
        return
    rank = np.full(canvas.hu.size, np.inf, np.float32)
    rank[index] = order
    weight = np.clip((float(rank[grown].max()) - order) / 4.0, 0.0, 1.0)
    near, hu = weight > 0, canvas.hu.ravel()
    here, part = index[near], weight[near]
    alike = hu[here] + 0.6 * (np.median(hu[grown]) - hu[here]) - shown.infarct_depth_hu
    hu[here] += part * (alike - hu[here])


def _stain_order(ground: Ground, allowed: NDArray[np.bool_], volume_ml: float) -> tuple[Index, Field]:
    """Where staining of a volume, or the blood below it, may lie, and in which order it grows there."""
    place = ground.shown.place_mm
    index = _near(ground, allowed, place, _reach_mm(2.0 * max(volume_ml, ground.shown.iph_ml)))
    grey = ground.canvas.labels.ravel()[index] == Tissue.GREY_MATTER
    order = _around(ground, "stain", index, place, volume_ml, 0.25, 0.45) - 5.0 * grey
    return index, np.asarray(order, np.float32)


def paint_staining(ground: Ground) -> None:
    """Contrast medium in dead brain: in cortex and basal ganglia, fading outwards; blood below it does not show."""
    shown = ground.shown
    infarct = ground.findings == Finding.INFARCT
    ground.findings[infarct] = Finding.NONE
    index, order = _stain_order(ground, ground.matter, shown.stain_ml)
    grown = ground.put(Finding.STAINING, index, order, shown.stain_ml)
    ground.findings[infarct & (ground.findings == Finding.NONE)] = Finding.INFARCT
    if not grown.size:
        return
    rank = np.full(ground.canvas.hu.size, np.inf, np.float32)
    rank[index] = order
    ranks, hu = rank[grown], ground.canvas.hu.ravel()
    top = float(ranks.max())
    core = np.clip((top - ranks) / max(0.7 * (top - float(np.quantile(ranks, 0.03))), 1.0), 0.0, 1.0)
    hu[grown] += (0.22 + 0.78 * core) * (shown.stain_hu - hu[grown])

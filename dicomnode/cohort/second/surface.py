"""Subdural and epidural collections: their kinds, and how each looks.

Of 242 chronic subdurals 115 were isodense, 31 hypodense, 79 mixed and 17 layered (Park et al., J Korean Neurosurg Soc
2013;54:38); about 60 % of acute ones are hyperdense, 40 % mixed. In a layered one cells settle in a patient on the back
to a level that is horizontal whatever the turn of the head. Attenuation by kind is this cohort's own, within the usual
ranges: unclotted blood 30 to 42 HU, fluid over settled cells 15 to 30, isodense 30 to 40, chronic 10 to 25.
"""

from __future__ import annotations

import numpy as np

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.fields import Field, coverage
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Subdural
from dicomnode.cohort.second.clot import clot_hu, lay
from dicomnode.cohort.second.ground import Ground, Index
from dicomnode.cohort.second.sheets import LEAST_MM, Sheet, filling_order

OLD_HU: dict[Subdural, tuple[float, float]] = {
    Subdural.ACUTE: (30.0, 42.0),
    Subdural.LAYERED: (15.0, 29.0),
    Subdural.MIXED: (30.0, 42.0),
    Subdural.ACUTE_ON_CHRONIC: (12.0, 26.0),
    Subdural.ISODENSE: (30.0, 40.0),
    Subdural.CHRONIC: (10.0, 25.0),
}
GREY = (Subdural.ACUTE, Subdural.MIXED, Subdural.ISODENSE)
"""Kinds whose part that is not bright is about as dense as cortex; of the others it is darker than brain."""
MEMBRANES = 0.35
"""Share of chronic collections with membranes."""


def default_thickness_mm(volume_ml: float) -> float:
    """Greatest thickness where none is given: 6 mL reach 5 mm, 60 mL 13 mm."""
    return float(np.clip(2.8 * volume_ml**0.37, 2.0, 28.0))


def _edge(ground: Ground, sheet: Sheet, thickness: Field, finding: Finding) -> tuple[Index, Field, Index]:
    """Voxels that a collection touches, its share of each, and their places within the sheet."""
    share = coverage(sheet.depth_mm - thickness, ground.canvas.spacing_mm)
    own = ground.findings.ravel()[sheet.index]
    share = np.where(own == finding, np.maximum(share, 0.75), share)
    where = np.flatnonzero((share > 0.02) & ((own == finding) | (own == Finding.NONE)) & (thickness > LEAST_MM))
    return sheet.index[where], np.asarray(share[where], np.float32), where


def paint_epidural(ground: Ground, sheet: Sheet, thickness: Field) -> None:
    """Bright lens, in some with swirls of blood that has not clotted."""
    order = filling_order(sheet, thickness)
    ground.put(Finding.EPIDURAL, sheet.index, order, ground.shown.edh_ml)
    index, share, _ = _edge(ground, sheet, thickness, Finding.EPIDURAL)
    swirl = 26.0 if ground.rng("epidural swirl").random() < 0.4 else 6.0
    lay(ground, index, share, clot_hu(ground, index, swirl))


def paint_subdural(ground: Ground, sheet: Sheet, thickness: Field) -> None:
    """Collection of one kind: bright blood (``SUBDURAL``) and what is grey or dark, each to its volume."""
    shown = ground.shown
    order = filling_order(sheet, thickness)
    body = ground.put(Finding.SUBDURAL, sheet.index, order, shown.sdh_ml + shown.sdh_old_ml)
    index, share, _ = _edge(ground, sheet, thickness, Finding.SUBDURAL)
    old = _old_share(ground, body, index)
    value = clot_hu(ground, index, 10.0)
    if shown.sdh_old_ml:
        value = value + old * (_old_hu(ground, index) - value)
    lay(ground, index, share, value)


def _key(ground: Ground, index: Index) -> tuple[Field, float]:
    """Where a collection is old first (large), and over how much of that it turns: by kind."""
    kind, canvas = ground.shown.subdural, ground.canvas
    if kind is Subdural.LAYERED:
        return -ground.backward_mm(index), 1.5
    if kind is Subdural.ACUTE_ON_CHRONIC:
        return 7.0 * canvas.noise("rebleed", 13.0).ravel()[index] - 0.25 * ground.backward_mm(index), 3.0
    return canvas.noise("swirls", 9.0).ravel()[index], 0.5


def _old_share(ground: Ground, body: Index, index: Index) -> Field:
    """(voxels of ``index``,) share that is old blood; enters the old part of ``body`` into the findings."""
    shown = ground.shown
    count = min(ground.voxels(shown.sdh_old_ml), body.size)
    if not count:
        return np.zeros(index.size, np.float32)
    finding = Finding.SUBDURAL_ISODENSE if shown.subdural in GREY else Finding.SUBDURAL_CHRONIC
    if count == body.size:
        ground.findings.ravel()[body] = finding
        return np.ones(index.size, np.float32)
    key, width = _key(ground, body)
    oldest = np.argpartition(-key, count)
    ground.findings.ravel()[body[oldest[:count]]] = finding
    here, _ = _key(ground, index)
    return np.asarray(np.clip(0.5 + (here - key[oldest[count]]) / width, 0.0, 1.0), np.float32)


def _old_hu(ground: Ground, index: Index) -> Field:
    rng, kind, canvas = ground.rng("old blood"), ground.shown.subdural, ground.canvas
    hu = rng.uniform(*OLD_HU[kind]) + 1.5 * canvas.noise("old blood", 7.0).ravel()[index]
    if kind in (Subdural.CHRONIC, Subdural.ACUTE_ON_CHRONIC) and rng.random() < MEMBRANES:
        hu = hu + 14.0 * np.clip(1.0 - np.abs(canvas.noise("membranes", 16.0).ravel()[index]) / 0.12, 0.0, 1.0)
    return np.asarray(hu, np.float32)


def efface(ground: Ground, sheet: Sheet, thickness: Field) -> None:
    """Press the sulci below a collection flat: their CSF gives way to cortex."""
    labels, hu = ground.canvas.labels.ravel(), ground.canvas.hu.ravel()
    below = sheet.depth_mm - thickness
    pressed = np.clip(thickness / 6.0, 0.0, 0.9) * np.exp(-np.maximum(below, 0.0) / 16.0)
    where = np.flatnonzero((pressed > 0.05) & (below > 0.0) & (labels[sheet.index] == Tissue.CSF))
    index, share = sheet.index[where], pressed[where]
    cortex = labels[::7] == Tissue.GREY_MATTER
    grey_hu = float(np.median(hu[::7][cortex])) if cortex.any() else 36.0
    hu[index] += share * (grey_hu - hu[index])
    labels[index[share > 0.5]] = Tissue.GREY_MATTER

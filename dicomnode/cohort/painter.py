"""Paints the lesions of one scan into a copy of a head, one after the other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort import brain
from dicomnode.cohort.bleeds import epidural_growth, smallest, subdural_growth
from dicomnode.cohort.canvas import Canvas, Tissue
from dicomnode.cohort.edition import Edition
from dicomnode.cohort.fields import Field, ellipsoid
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.mass_effect import Ball, Cause, Push, displace
from dicomnode.cohort.streams import stream


@dataclass(frozen=True)
class Anatomy:
    """A head without lesions, to be copied for every scan.

    Attributes
    ----------
    regions : (z, y, x) uint8 of :class:`~dicomnode.measure.anatomy.atlas.Label`.
    distance : (z, y, x) signed distance to the inner skull, negative inside.
    """

    seed: int
    canvas: Canvas
    regions: NDArray[np.uint8]
    distance: Field
    inside: Field


class Painter:
    """Grows lesions on a copy of the anatomy, one after the other, each in what the former left."""

    def __init__(self, base: Anatomy, lesions: Lesions, edition: Edition) -> None:
        self.base, self.shown, self.edition = base, lesions, edition
        self.canvas = dataclasses.replace(base.canvas, hu=base.canvas.hu.copy(), labels=base.canvas.labels.copy())
        self.regions = base.regions.copy()
        self.findings = np.zeros(self.canvas.shape, np.uint8)
        self.voxel_ml = self.canvas.spacing_mm**3 / 1000.0

    def rng(self, name: str) -> np.random.Generator:
        return stream(self.base.seed, "scene", name)

    @property
    def matter(self) -> NDArray[np.bool_]:
        labels = self.canvas.labels
        return np.asarray((labels == Tissue.WHITE_MATTER) | (labels == Tissue.GREY_MATTER))

    def grow(self, finding: Finding, order: Field, allowed: NDArray[np.bool_], volume_ml: float) -> NDArray[np.bool_]:
        """Mask of a lesion of one volume, entered into ``findings``."""
        free = allowed & (self.findings == Finding.NONE)
        grown = smallest(order, free, round(volume_ml / self.voxel_ml))
        self.findings[grown] = finding
        return grown

    def order_around(self, name: str, volume_ml: float, stretch: float, rough: float) -> Field:
        """Distance-like field of an irregular ellipsoid at the place of the main lesion: the same for every volume."""
        rng = self.rng(name)
        shape = np.exp(rng.normal(0.0, stretch, 3))
        shape /= np.cbrt(shape.prod())
        radius = (max(volume_ml, 0.5) * 1000.0 * 0.75 / np.pi) ** (1.0 / 3.0)
        axes = (radius * shape[0], radius * shape[1], radius * shape[2])
        order = ellipsoid(self.canvas.x, self.canvas.y, self.canvas.z, self.shown.place_mm, axes)
        return np.asarray(order + np.float32(rough * radius) * self.canvas.noise(f"scene {name}", 9.0))

    def clot(self, grown: NDArray[np.bool_], dilution: float = 0.0) -> None:
        """Paint clot: a texture of its own, dark pockets where heterogeneous."""
        texture = 2.0 * self.canvas.noise("clot", 4.0)[grown]
        if self.shown.heterogeneity > 0:
            pockets = np.clip(self.canvas.noise("swirl", 8.0)[grown] - 0.2, 0.0, 1.5)
            texture -= 18.0 * self.shown.heterogeneity * pockets
        self.canvas.hu[grown] = dilution * self.canvas.hu[grown] + (1.0 - dilution) * (self.shown.clot_hu + texture)

    # what takes room

    def axis(self) -> NDArray[np.float64]:
        """Direction of surface collections, on the lesion's side."""
        azimuth, elevation = self.rng("axis").uniform(-1.0, 1.0), self.rng("axis").uniform(0.05, 0.6)
        across = self.shown.side * np.cos(azimuth) * np.cos(elevation)
        return np.array([across, np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])

    def causes(self) -> list[Cause]:
        """What takes room."""
        shown, causes = self.shown, list[Cause]()
        round_ml = shown.iph_ml * (not shown.petechial) + 0.5 * shown.oedema_ml
        swollen_ml = 0.12 * shown.infarct_ml * min(shown.infarct_depth_hu / 12.0, 1.0)
        if round_ml + swollen_ml > 1.0:
            causes.append(Ball(shown.place_mm, round_ml + swollen_ml))
        surface_ml = shown.sdh_ml + shown.edh_ml
        if surface_ml > 3.0:
            x, y, z = (float(v) for v in self.axis() * 65.0)
            causes.append(Push((x, y, z), self.edition.surface * surface_ml / (1.0 + surface_ml / 200.0)))
        return causes

    def mass_effect(self) -> float:
        return displace(self.canvas, self.regions, self.base.distance, self.causes(), self.edition)

    # lesions

    def infarct(self) -> None:
        shown = self.shown
        if not shown.infarct_ml:
            return
        order = self.order_around("infarct", shown.infarct_ml, 0.3, 0.25)
        own_side = self.canvas.x * shown.side > 2.0
        grown = self.grow(Finding.INFARCT, order, self.matter & own_side, shown.infarct_ml)
        hu = self.canvas.hu[grown]
        # cortex and nuclei lose their contrast to white matter before all turns dark
        self.canvas.hu[grown] = hu + 0.4 * (np.median(hu) - hu) - shown.infarct_depth_hu if hu.size else hu

    def intraparenchymal(self) -> None:
        shown = self.shown
        if not shown.iph_ml:
            return
        rough = 1.2 if shown.petechial else 0.1 + 0.12 * shown.heterogeneity
        size_ml = max(shown.iph_ml, 8.0) if shown.petechial else shown.iph_ml
        order = self.order_around("iph", size_ml, 0.2, rough)
        allowed = self.matter & (self.base.distance < -2.0)
        self.findings[self.findings == Finding.INFARCT] = Finding.NONE
        infarct = self.base_infarct
        grown = self.grow(Finding.INTRAPARENCHYMAL, order, allowed, shown.iph_ml)
        self.clot(grown, 0.25 if shown.petechial else 0.0)
        if shown.oedema_ml:
            rim = self.grow(Finding.OEDEMA, order + 2.5 * self._grey(), allowed, shown.oedema_ml)
            self.canvas.hu[rim] -= float(self.rng("oedema").uniform(6.0, 12.0))
        self.findings[infarct & (self.findings == Finding.NONE)] = Finding.INFARCT

    def _grey(self) -> Field:
        return np.asarray(self.canvas.labels == Tissue.GREY_MATTER, np.float32)

    def staining(self) -> None:
        shown = self.shown
        if not shown.stain_ml:
            return
        order = self.order_around("stain", shown.stain_ml, 0.25, 0.5) - 3.0 * self._grey()
        self.findings[self.findings == Finding.INFARCT] = Finding.NONE
        grown = self.grow(Finding.STAINING, order, self.matter, shown.stain_ml)
        self.findings[self.base_infarct & (self.findings == Finding.NONE)] = Finding.INFARCT
        ranks = order[grown]
        core = np.clip((np.quantile(ranks, 0.98) - ranks) / (np.ptp(ranks) + 1e-3), 0.0, 1.0) if ranks.size else ranks
        self.canvas.hu[grown] += (0.45 + 0.55 * core) * (shown.stain_hu - self.canvas.hu[grown])

    def intraventricular(self) -> None:
        shown = self.shown
        if shown.ivh_ml:
            rng, canvas = self.rng("ivh"), self.canvas
            settled = -canvas.y * rng.uniform(0.4, 1.0) + 4.0 * canvas.noise("scene ivh", 8.0)
            order = settled - 0.3 * shown.side * canvas.x * rng.uniform(0.0, 4.0)
            self.clot(self.grow(Finding.INTRAVENTRICULAR, order, canvas.labels == Tissue.VENTRICLE, shown.ivh_ml))

    def subarachnoid(self) -> None:
        shown = self.shown
        if shown.sah_ml:
            canvas = self.canvas
            x, y, z = self.axis() * 62.0
            order = np.sqrt((canvas.x - x) ** 2 + (canvas.y - y) ** 2 + (canvas.z - z) ** 2)
            order += 10.0 * canvas.noise("scene sah", 9.0)
            allowed = (canvas.labels == Tissue.CSF) & (self.base.distance > -32.0)
            self.clot(self.grow(Finding.SUBARACHNOID, order, allowed, shown.sah_ml), 0.15)

    def surface(self) -> None:
        shown, distance = self.shown, self.base.distance
        if shown.edh_ml:
            order, allowed = epidural_growth(self.canvas, distance, self.axis(), self.rng("edh"))
            self.clot(self.grow(Finding.EPIDURAL, order, allowed, shown.edh_ml))
        if shown.sdh_ml:
            order, allowed = subdural_growth(self.canvas, distance, shown.sdh_ml, self.axis(), self.rng("sdh"))
            self.clot(self.grow(Finding.SUBDURAL, order, allowed, shown.sdh_ml))

    def artery(self) -> None:
        """Thrombus in the middle cerebral artery: about 20 HU denser."""
        if self.shown.hyperdense_artery:
            canvas = self.canvas
            stem = (canvas.labels == Tissue.VESSEL) & (canvas.x * self.shown.side > 6.0) & (canvas.z > -24.0)
            canvas.hu[stem & (canvas.y < 5.0)] += 20.0

    def paint(self) -> float:
        shift_mm = self.mass_effect()
        self.infarct()
        self.base_infarct = self.findings == Finding.INFARCT
        self.surface()
        self.intraparenchymal()
        self.staining()
        self.intraventricular()
        self.subarachnoid()
        self.artery()
        # beam hardening is the same at both scans of a head
        brain.harden_beam(self.canvas, self.base.distance, self.base.inside)
        return shift_mm

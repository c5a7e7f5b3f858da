"""Paints the lesions of one scan as the second edition shows them."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort import brain
from dicomnode.cohort.canvas import Canvas, Tissue
from dicomnode.cohort.edition import Edition
from dicomnode.cohort.fields import Field
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Lesions, Surface
from dicomnode.cohort.mass_effect import Ball, Cause, Push, displace
from dicomnode.cohort.painter import Anatomy
from dicomnode.cohort.second import fluid, surface, tissue
from dicomnode.cohort.second.ground import ground_of
from dicomnode.cohort.second.sheets import Sheet, epidural_axis, fitted, layer, subdural_sheet, vault

PUSHED_MM = 12.0
"""A collection pushes the whole brain no farther than that, nor than it is thick."""


class SecondPainter:
    """Paints on a copy of the brain's part of a head; each lesion lies in what the former left.

    Attributes
    ----------
    canvas, regions, findings : of the whole block, as :class:`~dicomnode.cohort.painter.Painter` has them.
    """

    def __init__(self, base: Anatomy, lesions: Lesions, edition: Edition) -> None:
        self.base = base
        self.ground = ground_of(base, lesions, edition)
        self.canvas: Canvas = dataclasses.replace(
            base.canvas, hu=base.canvas.hu.copy(), labels=base.canvas.labels.copy()
        )
        self.regions = base.regions.copy()
        self.findings: NDArray[np.uint8] = np.zeros(self.canvas.shape, np.uint8)

    def paint(self) -> float:
        """Paint all lesions; returns the midline shift in mm, to the left positive."""
        ground, shown = self.ground, self.ground.shown
        collections = self._collections()
        shift_mm = self._displace(collections)
        ground.findings[ground.canvas.labels == Tissue.CALCIFICATION] = Finding.CALCIUM
        for sheet, thickness in collections.values():
            surface.efface(ground, sheet, thickness)
        if shown.infarct_ml:
            tissue.paint_infarct(ground)
        if Finding.EPIDURAL in collections:
            surface.paint_epidural(ground, *collections[Finding.EPIDURAL])
        if Finding.SUBDURAL in collections:
            surface.paint_subdural(ground, *collections[Finding.SUBDURAL])
        if shown.iph_ml or shown.oedema_ml:
            tissue.paint_intraparenchymal(ground)
        if shown.stain_ml:
            tissue.paint_staining(ground)
        if shown.ivh_ml:
            fluid.paint_intraventricular(ground)
        if shown.sah_ml:
            fluid.paint_subarachnoid(ground)
        self._artery()
        # beam hardening is the same at both scans of a head
        brain.harden_beam(ground.canvas, ground.distance, ground.inside)
        self._write_back()
        return shift_mm

    def _collections(self) -> dict[Finding, tuple[Sheet, Field]]:
        """Dura and thickness of the collections; what lies outside comes first."""
        ground, shown, found = self.ground, self.ground.shown, dict[Finding, tuple[Sheet, Field]]()
        above: Field | None = None
        if shown.edh_ml:
            sheet = vault(ground, epidural_axis(float(shown.side), ground.rng("epidural place")), lens=True)
            thickest_mm = float(np.clip(4.6 * np.cbrt(shown.edh_ml), 3.0, 40.0))
            thickness = fitted(sheet, thickest_mm, ground.voxels(shown.edh_ml))
            found[Finding.EPIDURAL] = sheet, thickness
            above = np.zeros(ground.canvas.shape, np.float32)
            above.ravel()[sheet.index] = thickness
        total_ml = shown.sdh_ml + shown.sdh_old_ml
        if total_ml:
            sheet = subdural_sheet(ground, above)
            thickest_mm = shown.sdh_thickness_mm or surface.default_thickness_mm(total_ml)
            found[Finding.SUBDURAL] = sheet, fitted(sheet, thickest_mm, ground.voxels(total_ml))
        return found

    def causes(self) -> list[Cause]:
        """What takes room; layers last."""
        return self._causes(self._collections())

    def _causes(self, collections: dict[Finding, tuple[Sheet, Field]]) -> list[Cause]:
        ground, shown, causes = self.ground, self.ground.shown, list[Cause]()
        round_ml = shown.iph_ml * (not shown.petechial) + 0.5 * shown.oedema_ml
        swollen_ml = shown.swelling * shown.infarct_ml * min(shown.infarct_depth_hu / 12.0, 1.0)
        for place, share in tissue.foci(ground):
            if share * (round_ml + swollen_ml) > 1.0:
                causes.append(Ball(place, share * (round_ml + swollen_ml)))
        for finding, (sheet, thickness) in collections.items():
            volume_ml = shown.edh_ml if finding is Finding.EPIDURAL else shown.sdh_ml + shown.sdh_old_ml
            if volume_ml > 8.0 and (finding is Finding.EPIDURAL or shown.surface is Surface.CONVEXITY):
                causes.append(self._push(sheet, float(thickness.max()), volume_ml))
        return causes + [layer(*collection, ground.canvas.spacing_mm) for collection in collections.values()]

    def _displace(self, collections: dict[Finding, tuple[Sheet, Field]]) -> float:
        ground = self.ground
        return displace(ground.canvas, ground.regions, ground.distance, self._causes(collections), ground.edition)

    def _push(self, sheet: Sheet, thickest_mm: float, volume_ml: float) -> Push:
        """The whole brain, away from a collection; a little blood finds room in CSF."""
        canvas, middle = self.ground.canvas, sheet.index[int(np.argmin(sheet.away + 0.01 * sheet.depth_mm))]
        x, y, z = (float(axis.ravel()[middle]) for axis in (canvas.x, canvas.y, canvas.z))
        depth_mm = self.ground.edition.surface * (volume_ml - 8.0) / (1.0 + volume_ml / 200.0)
        return Push((x, y, z), min(depth_mm, thickest_mm, PUSHED_MM))

    def _artery(self) -> None:
        """Thrombus in the middle cerebral artery: about 20 HU denser."""
        canvas, shown = self.ground.canvas, self.ground.shown
        if shown.hyperdense_artery:
            stem = (canvas.labels == Tissue.VESSEL) & (canvas.x * shown.side > 6.0) & (canvas.z > -24.0)
            canvas.hu[stem & (canvas.y < 5.0)] += 20.0

    def _write_back(self) -> None:
        ground, box = self.ground, self.ground.box
        self.canvas.hu[box], self.canvas.labels[box] = ground.canvas.hu, ground.canvas.labels
        self.regions[box], self.findings[box] = ground.regions, ground.findings

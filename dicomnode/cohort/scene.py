"""Heads of one patient: the anatomy painted once, with the lesions of each of its scans and their masks by type."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dicomnode.cohort import anatomy
from dicomnode.cohort.acquire import BONY_HU
from dicomnode.cohort.canvas import CENTRE_MM, EXTENT_MM, Canvas, Tissue, blank_canvas
from dicomnode.cohort.edition import FIRST, Edition, Version
from dicomnode.cohort.findings import BLOOD, DENSE_NOT_BLOOD, Finding
from dicomnode.cohort.head import SyntheticHead, paint_anatomy
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.painter import Anatomy, Painter
from dicomnode.cohort.regions import region_map
from dicomnode.cohort.second.head import paint_second_anatomy, second_build
from dicomnode.cohort.second.painter import SecondPainter
from dicomnode.cohort.streams import stream

__all__ = [
    "BLOOD",
    "DENSE_NOT_BLOOD",
    "Anatomy",
    "Finding",
    "Scene",
    "make_anatomy",
    "make_scene",
    "paint_leukoaraiosis",
]


SECOND_BONY_HU = 90.0
"""No clot is brighter: what is brighter in a slice of the second edition holds bone, and no reader calls it blood."""


@dataclass(frozen=True)
class Scene:
    """A head with the lesions of one scan.

    Attributes
    ----------
    head : its ``mask`` is all blood; ``labels`` and ``regions`` are displaced by the mass effect.
    findings : (z, y, x) uint8 of :class:`Finding`.
    midline_shift_mm : at the septum pellucidum, to the left positive.
    bony_hu : a voxel of a slice that is brighter shows bone, whatever blood it holds.
    """

    head: SyntheticHead
    findings: NDArray[np.uint8]
    midline_shift_mm: float
    bony_hu: float = BONY_HU

    def volume_ml(self, finding: Finding) -> float:
        """Painted volume of one kind."""
        return float(np.count_nonzero(self.findings == finding)) * float(np.prod(self.head.spacing_mm)) / 1000.0


def _build(seed: int, lesions: Lesions) -> anatomy.Build:
    """Measures of the head; CSF spaces follow the patient's atrophy."""
    drawn = anatomy.draw_build(stream(seed, "build"))
    noise = stream(seed, "build", "atrophy").normal(0.0, 0.15)
    return dataclasses.replace(
        drawn,
        csf_gap_mm=0.8 + 1.6 * lesions.atrophy,
        ventricle_scale=float(np.exp(-0.3 + 0.55 * lesions.atrophy + noise)),
        sulcus_width=0.04 + 0.13 * lesions.atrophy,
    )


def paint_leukoaraiosis(canvas: Canvas, grade: int) -> None:
    """White matter around the ventricles up to 9 HU darker."""
    if grade:
        near = gaussian_filter((canvas.labels == Tissue.VENTRICLE).astype(np.float32), 5.0 / canvas.spacing_mm)
        white = canvas.labels == Tissue.WHITE_MATTER
        canvas.hu -= np.clip(near * 6.0 - 0.3, 0.0, 1.0) * white * np.float32(3.0 * grade)


def make_anatomy(
    seed: int,
    lesions: Lesions,
    *,
    spacing_mm: float = 1.2,
    rotation_deg: tuple[float, float, float] | None = None,
    edition: Edition = FIRST,
) -> Anatomy:
    """Paint a patient's head without lesions.

    Parameters
    ----------
    lesions : of the baseline; only atrophy and white matter disease are used.
    rotation_deg : pitch, roll and yaw; None draws them (SD 4 degrees).
    """
    pose = stream(seed, "pose").normal(0.0, 4.0, 3) if rotation_deg is None else np.asarray(rotation_deg)
    canvas = blank_canvas(seed, spacing_mm, list(pose), 2.0, edition.midline_warp)
    build = _build(seed, lesions)
    if edition.pictures is Version.TWO:
        distance, inside = paint_second_anatomy(canvas, second_build(build, lesions.atrophy), lesions.atrophy)
    else:
        distance, inside = paint_anatomy(canvas, build)
    paint_leukoaraiosis(canvas, lesions.leukoaraiosis)
    return Anatomy(seed, canvas, region_map(canvas, distance < 0), distance, inside)


def make_scene(base: Anatomy, lesions: Lesions, edition: Edition = FIRST) -> Scene:
    """One scan's lesions painted into a copy of a head.

    Parameters
    ----------
    edition : how far the midline gives way, and which painter draws.

    Returns
    -------
    Volumes are those of ``lesions`` to the voxel, or what the compartment holds. The same head with other volumes has
    its lesions in the same places and of the same shape.
    """
    painter = (SecondPainter if edition.pictures is Version.TWO else Painter)(base, lesions, edition)
    shift_mm = painter.paint()
    spacing_mm = base.canvas.spacing_mm
    origin = [0.5 * spacing_mm - extent / 2 - shift for extent, shift in zip(EXTENT_MM, CENTRE_MM, strict=True)]
    blood = (painter.findings > Finding.NONE) & (painter.findings <= Finding.EPIDURAL)
    head = SyntheticHead(
        seed=base.seed,
        hu=painter.canvas.hu,
        mask=blood,
        labels=painter.canvas.labels,
        cavity=base.distance < 0,
        spacing_mm=(spacing_mm, spacing_mm, spacing_mm),
        origin_mm=(origin[0], origin[1], origin[2]),
        bleeds=(),
        regions=painter.regions,
    )
    bony_hu = SECOND_BONY_HU if edition.pictures is Version.TWO else BONY_HU
    return Scene(head, painter.findings, shift_mm, bony_hu)

"""Grey and white matter of the second edition: cortex down the sides of sulci, deep white matter free of it.

In a real head (GE, 7 mm slices) half of the brain at the level of the ventricles lies between 22 and 31 HU; the first
edition's, with cortex as thin lines, between 26 and 29.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dicomnode.cohort.anatomy import SIDES, Build
from dicomnode.cohort.canvas import Canvas, Point, Tissue
from dicomnode.cohort.fields import Field, coverage
from dicomnode.cohort.second.ground import brain_box

CORTEX = 0.68
"""Cortex reaches from the middle of a sulcus to there, in standard deviations of the field whose zeros are sulci."""
DEEP_MM = (13.0, 27.0)
"""Below the surface: cortex is whole down to the first depth and gone from the second."""
NUCLEI: tuple[tuple[Point, Point, float], ...] = (
    ((11.5, 8.0, 5.0), (7.5, 13.0, 8.5), 22.0),
    ((24.0, -5.0, 3.0), (6.0, 15.0, 9.5), -18.0),
    ((12.5, -23.0, 9.0), (4.0, 7.0, 8.0), -10.0),
)
"""Thalamus, lentiform nucleus, head of the caudate: place on the left, half axes, turn about z in degrees."""


def paint_second_brain(canvas: Canvas, build: Build, distance: Field, inside: Field) -> None:
    """CSF, then brain, in place."""
    canvas.paint(inside, build.csf_hu, Tissue.CSF)
    box = brain_box(distance, canvas.z)
    part = dataclasses.replace(
        canvas, x=canvas.x[box], y=canvas.y[box], z=canvas.z[box], hu=canvas.hu[box], labels=canvas.labels[box]
    )
    _paint_matter(part, build, -distance[box] - np.float32(build.csf_gap_mm), inside[box])
    for side in SIDES:
        for centre, axes, turn_deg in NUCLEI:
            _nucleus(canvas, build, inside, side, centre, axes, turn_deg)
    canvas.blob((0.0, 21.0, -45.0), (13.0, 11.0, 32.0), build.white_hu + 3.0, Tissue.WHITE_MATTER, inside)


def _paint_matter(part: Canvas, build: Build, depth: Field, inside: Field) -> None:
    fold = np.abs(part.noise("sulci", 9.0) + np.float32(0.3) * part.noise("meander", 5.0))
    patch = part.noise("white", 14.0)
    fold -= np.float32(build.sulcus_width) * np.clip(1.15 - depth / 20.0, 0.0, 1.0)
    share = inside * coverage(-depth, part.spacing_mm) * np.clip(fold * 9.0 + 0.5, 0.0, 1.0)
    whole, gone = DEEP_MM
    ribbon = np.float32(CORTEX) * np.clip((gone - depth) / (gone - whole), 0.0, 1.0)
    cortex = np.clip(np.maximum((ribbon - fold) * 7.0 + 0.5, 4.0 - depth + 1.2 * patch), 0.0, 1.0)
    cortex *= depth < gone
    folia = (part.z < -14.0 - 0.45 * np.abs(part.x)) & (part.y > 12.0)
    cortex = np.where(folia, 0.55 + 0.25 * patch, cortex)
    tissue = build.white_hu + (build.grey_hu - build.white_hu) * cortex + 0.8 * part.noise("texture", 3.0) + patch
    part.paint(share.astype(np.float32), tissue.astype(np.float32), Tissue.WHITE_MATTER)
    part.labels[(share > 0.5) & (cortex > 0.5)] = Tissue.GREY_MATTER


def _nucleus(
    canvas: Canvas, build: Build, inside: Field, side: float, centre: Point, axes: Point, turn_deg: float
) -> None:
    """Soft-edged ellipsoid, turned about the upright axis, a little paler than cortex."""
    middle = (side * centre[0], centre[1], centre[2])
    box, turn = canvas.box(middle, max(axes) + 3.0), np.deg2rad(side * turn_deg)
    x, y = canvas.x[box] - middle[0], canvas.y[box] - middle[1]
    across, along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    radius = np.sqrt((across / axes[0]) ** 2 + (along / axes[1]) ** 2 + ((canvas.z[box] - middle[2]) / axes[2]) ** 2)
    share = 0.9 * coverage((radius - 1.0) * min(axes), 3.0) * inside[box]
    canvas.paint(share.astype(np.float32), build.grey_hu - 0.5, Tissue.GREY_MATTER, box)

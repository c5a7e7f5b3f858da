"""CSF spaces of the second edition: cisterns, fissures and the cleft between the hemispheres, wider with age."""

from __future__ import annotations

import numpy as np

from dicomnode.cohort.anatomy import SIDES, Build
from dicomnode.cohort.canvas import Canvas, Point, Tissue
from dicomnode.cohort.fields import Field, coverage

MIDBRAIN = (18.0, -11.0)
"""(y, z) of the middle of the midbrain, with the ambient cisterns around it."""
AROUND_MM = 17.0
"""From there to the middle of the ambient cisterns."""
WINGS: tuple[tuple[Point, Point], ...] = (
    ((10.0, -9.0, -20.0), (7.0, 3.0, 3.0)),
    ((20.0, -13.0, -17.0), (8.0, 2.2, 2.6)),
    ((31.0, -16.0, -13.0), (8.0, 2.4, 2.8)),
)
"""The stem of the Sylvian fissure, from the suprasellar cistern along the sphenoid wing: left places and half axes."""
MIDDLE: tuple[tuple[Point, Point], ...] = (
    ((0.0, -9.0, -20.0), (11.0, 8.0, 4.0)),
    ((0.0, 1.0, -18.0), (7.0, 5.0, 4.5)),
    ((0.0, 6.5, -32.0), (9.0, 2.2, 12.0)),
    ((0.0, 33.0, -9.0), (11.0, 3.6, 4.5)),
    ((0.0, 47.0, -52.0), (9.0, 6.0, 6.0)),
)
"""Suprasellar, interpeduncular, prepontine, quadrigeminal cistern and cisterna magna."""


def paint_spaces(canvas: Canvas, build: Build, distance: Field, inside: Field) -> None:
    """Fill cisterns and fissures with CSF, in place.

    Parameters
    ----------
    distance : (z, y, x) signed distance to the inner skull, negative inside; ``inside`` : share of each voxel inside.
    """
    wide = 0.75 + 0.2 * build.csf_gap_mm
    for (x, y, z), (a, b, c) in MIDDLE:
        canvas.blob((x, y, z), (a, wide * b, wide * c), build.csf_hu, Tissue.CSF, inside)
    for (x, y, z), (a, b, c) in WINGS:
        for side in SIDES:
            canvas.blob((side * x, y, z), (a, wide * b, wide * c), build.csf_hu, Tissue.CSF, inside)
    _ambient(canvas, build, inside)
    for side in SIDES:
        _sylvian(canvas, build, inside, side, 0.6 + 0.45 * build.csf_gap_mm)
    _between_hemispheres(canvas, build, distance, inside)


def _ambient(canvas: Canvas, build: Build, inside: Field) -> None:
    box = canvas.box((0.0, *MIDBRAIN), AROUND_MM + 4.0)
    x, y, z = canvas.x[box], canvas.y[box], canvas.z[box]
    uneven = 0.9 * np.sin(0.31 * y + 0.5 * z) + 0.7 * np.sin(0.43 * x)
    ring = np.abs(np.hypot(0.95 * x, y - MIDBRAIN[0]) - AROUND_MM) - 0.1 - 0.4 * build.csf_gap_mm - 0.5 * uneven
    zone = (y > 8.0) & (np.abs(z - MIDBRAIN[1]) < 7.0) & (np.abs(x) > 4.0)
    share = coverage(ring, canvas.spacing_mm) * zone * inside[box]
    canvas.paint(share.astype(np.float32), build.csf_hu, Tissue.CSF, box)


def _sylvian(canvas: Canvas, build: Build, inside: Field, side: float, half_mm: float) -> None:
    """Cleft over the insula and its branch between the opercula, which climbs backwards."""
    box = canvas.box((side * 48.0, -6.0, 2.0), 32.0)
    x, y, z = canvas.x[box] * side, canvas.y[box], canvas.z[box]
    wavy = 1.2 * np.sin(0.45 * y + side) + 0.8 * np.sin(0.6 * z)
    insula = np.abs(x - 41.0 - 0.006 * (y + 8.0) ** 2 - wavy) - 0.8 * half_mm
    insula = np.where((np.abs(y + 7.0) < 19.0) & (np.abs(z - 3.0) < 11.0), insula, 9.0)
    climbs = 2.0 + 0.42 * (y + 6.0) + wavy
    branch = np.where((x > 40.0) & (np.abs(y + 2.0) < 24.0), np.abs(z - climbs) * 0.92 - 0.55 * half_mm, 9.0)
    share = coverage(np.minimum(insula, branch), canvas.spacing_mm) * inside[box]
    canvas.paint(share.astype(np.float32), build.csf_hu, Tissue.CSF, box)


def _between_hemispheres(canvas: Canvas, build: Build, distance: Field, inside: Field) -> None:
    """Cleft below the falx in front, down to the cistern above the sella."""
    box = canvas.box((0.0, -48.0, 5.0), 34.0)
    y, z = canvas.y[box], canvas.z[box]
    zone = (y < -30.0) & (z > -20.0) & (z < 36.0) & (distance[box] > -46.0)
    wavy = 0.8 * np.sin(0.35 * y) + 0.6 * np.sin(0.5 * z)
    sheet = np.abs(canvas.x[box] - wavy) - 0.5 - 0.3 * build.csf_gap_mm
    share = coverage(sheet, canvas.spacing_mm) * zone * inside[box]
    canvas.paint(share.astype(np.float32), build.csf_hu, Tissue.CSF, box)

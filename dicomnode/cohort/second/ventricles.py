"""Ventricles of the second edition: each lateral ventricle is one space with three horns."""

from __future__ import annotations

import itertools

import numpy as np

from dicomnode.cohort.anatomy import SIDES, Build
from dicomnode.cohort.canvas import Canvas, Point, Tissue
from dicomnode.cohort.fields import Field, coverage

Tube = tuple[tuple[Point, float], ...]
LATERAL: tuple[Tube, ...] = (
    (
        ((10.0, -38.0, 5.0), 2.0),
        ((8.0, -27.0, 11.0), 4.2),
        ((5.8, -9.0, 17.0), 3.8),
        ((9.0, 9.0, 20.0), 4.2),
        ((15.5, 24.0, 17.0), 5.0),
        ((22.0, 32.0, 8.0), 6.0),
    ),
    (((22.0, 32.0, 8.0), 5.5), ((21.0, 45.0, 5.0), 3.8), ((18.5, 56.0, 4.0), 1.2)),
    (((22.0, 32.0, 8.0), 5.0), ((31.0, 21.0, -8.0), 2.6), ((32.0, 2.0, -19.0), 1.8)),
)
"""Left: front horn, body and atrium; occipital horn; temporal horn. Places and half widths (mm) in middle age."""
TALL = 1.35
"""How much higher than wide they are."""
WIDENING_MM = 3.0
"""How far the body moves outwards as its width doubles: the septum stays where it is."""


def paint_second_ventricles(canvas: Canvas, build: Build, inside: Field) -> None:
    """Lateral, third and fourth ventricle, in place; each patient's sides differ a little."""
    rng, scale = canvas.rng("ventricles"), build.ventricle_scale
    for side in SIDES:
        wide = np.sqrt(scale) * rng.uniform(0.88, 1.12)
        for tube in LATERAL:
            for start, end in itertools.pairwise(tube):
                _segment(canvas, build, inside, side, (start, end), float(wide))
    width, height = 1.8 * scale * rng.uniform(0.9, 1.1), 8.0 * rng.uniform(0.9, 1.1)
    canvas.blob((0.0, 4.0, -2.0), (width, 13.0, height), build.csf_hu, Tissue.VENTRICLE, inside)
    canvas.blob((0.0, 45.0, -40.0), (6.5, 4.5, 8.5), build.csf_hu, Tissue.VENTRICLE, inside)


def _segment(
    canvas: Canvas,
    build: Build,
    inside: Field,
    side: float,
    ends: tuple[tuple[Point, float], tuple[Point, float]],
    wide: float,
) -> None:
    """A stretch of tube whose width changes evenly from one end to the other."""
    (first, r_first), (last, r_last) = ends
    out = np.array([WIDENING_MM * (wide - 1.0), 0.0, 0.0])
    start, end = ((np.asarray(place) + out) * (side, 1.0, 1.0) for place in (first, last))
    reach = float(np.linalg.norm(end - start)) / 2.0 + TALL * wide * max(r_first, r_last)
    middle = (start + end) / 2.0
    box = canvas.box((float(middle[0]), float(middle[1]), float(middle[2])), reach)
    squash = np.array([1.0, 1.0, 1.0 / TALL], np.float32)
    line = ((end - start) * squash).astype(np.float32)
    away = [(axis[box] - low) * by for axis, low, by in zip((canvas.x, canvas.y, canvas.z), start, squash, strict=True)]
    along = np.clip(sum(a * step for a, step in zip(away, line, strict=True)) / float(line @ line), 0.0, 1.0)
    gap = np.sqrt(sum((a - along * step) ** 2 for a, step in zip(away, line, strict=True)))
    share = coverage(gap - wide * (r_first + (r_last - r_first) * along), canvas.spacing_mm) * inside[box]
    canvas.paint(share.astype(np.float32), build.csf_hu, Tissue.VENTRICLE, box)

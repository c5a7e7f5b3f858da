"""The head of the second edition without lesions."""

from __future__ import annotations

import dataclasses

from dicomnode.cohort import anatomy, brain
from dicomnode.cohort.canvas import Canvas
from dicomnode.cohort.fields import Field, coverage
from dicomnode.cohort.second.brain import paint_second_brain
from dicomnode.cohort.second.calcium import paint_calcium
from dicomnode.cohort.second.spaces import paint_spaces
from dicomnode.cohort.second.ventricles import paint_second_ventricles


def second_build(build: anatomy.Build, atrophy: float) -> anatomy.Build:
    """Measures with sulci as wide as those of real adults, in which blood can lie, and with their contrast."""
    grey_hu = build.white_hu + 6.0 + 0.6 * (build.grey_hu - build.white_hu)
    return dataclasses.replace(
        build, sulcus_width=0.12 + 0.36 * atrophy, grey_hu=grey_hu, skull_mm=0.85 * build.skull_mm
    )


def paint_second_anatomy(canvas: Canvas, build: anatomy.Build, atrophy: float) -> tuple[Field, Field]:
    """Paint all but lesions; returns distance to the inner skull and share inside it.

    Parameters
    ----------
    atrophy : 0 to 1, stands for age.
    """
    distance = anatomy.cavity_distance(canvas, build)
    inside = coverage(distance, canvas.spacing_mm)
    anatomy.paint_soft_envelope(canvas, build, distance)
    anatomy.paint_air_spaces(canvas)
    anatomy.paint_orbits(canvas)
    anatomy.paint_skull(canvas, build, distance)
    paint_second_brain(canvas, build, distance, inside)
    paint_second_ventricles(canvas, build, inside)
    paint_spaces(canvas, build, distance, inside)
    brain.paint_old_lesions(canvas, inside)
    brain.paint_dura(canvas, build, distance, inside)
    brain.paint_vessels(canvas, build, inside)
    paint_calcium(canvas, distance, inside, atrophy)
    return distance, inside

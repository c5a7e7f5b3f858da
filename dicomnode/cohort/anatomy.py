"""Procedural anatomy: cranial cavity, skull, face, brain, ventricles, dura, vessels and calcifications.

All figures are head coordinates in millimetres (x left, y posterior, z up, origin in the middle of the brain), drawn
from named streams. HU anchors: air -1000, fat -100 to -50, CSF 0 to 15, white matter 20 to 30, grey matter 30 to 42,
flowing venous blood 45 to 65, dura 45 to 60, calcification above 80, bone above 300.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dicomnode.cohort.canvas import Canvas, Tissue
from dicomnode.cohort.fields import Field, coverage, ellipsoid

FORAMEN_MAGNUM = (0.0, 34.0)
SIDES = (-1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Measures of one head.

    Attributes
    ----------
    cavity_axes_mm : half widths (x, y, z) of the cranial cavity above the skull base.
    skull_mm, scalp_mm : mean thicknesses.
    csf_gap_mm : distance between skull and brain; grows with age.
    ventricle_scale : 1 for a middle-aged adult.
    """

    cavity_axes_mm: tuple[float, float, float]
    skull_mm: float
    scalp_mm: float
    csf_gap_mm: float
    ventricle_scale: float
    sulcus_width: float
    white_hu: float
    grey_hu: float
    csf_hu: float
    blood_pool_hu: float


def draw_build(rng: np.random.Generator) -> Build:
    """Measures of a random adult."""
    age = rng.uniform(0.0, 1.0)
    white = rng.uniform(22.0, 29.0)
    return Build(
        cavity_axes_mm=(rng.normal(66.0, 2.5), rng.normal(83.0, 3.5), rng.normal(73.0, 3.0)),
        skull_mm=float(np.clip(rng.normal(7.0, 1.6), 4.0, 12.0)),
        scalp_mm=float(np.clip(rng.normal(5.5, 1.5), 3.0, 10.0)),
        csf_gap_mm=0.8 + 2.6 * age * rng.uniform(0.4, 1.0),
        ventricle_scale=float(np.exp(rng.normal(-0.15 + 0.4 * age, 0.2))),
        sulcus_width=0.04 + 0.16 * age * rng.uniform(0.5, 1.0),
        white_hu=white,
        grey_hu=white + rng.uniform(6.0, 11.0),
        csf_hu=rng.uniform(2.0, 12.0),
        blood_pool_hu=rng.uniform(44.0, 64.0),
    )


def _step(value: Field, width_mm: float | Field) -> Field:
    """Smooth step from 0 to 1 around zero."""
    result: Field = (1.0 / (1.0 + np.exp(np.clip(-value / width_mm, -30, 30)))).astype(np.float32)
    return result


def _floor_height(x: Field, y: Field) -> Field:
    """Height of the skull base: anterior, middle and posterior fossa, sella, clivus and petrous ridges."""
    side = np.abs(x)
    medial = _step(14.0 - side, 2.5)
    wing = y + 15.0 + 0.5 * side
    ridge = y - 4.0 - 0.4 * side
    middle = -46.0 * (1 - medial) - 24.0 * medial
    posterior = -67.0 + 16.0 * (side / 60.0) ** 2
    roof = -23.0 + 7.0 * np.exp(-(((side - 31.0) / 13.0) ** 2)) - 7.0 * np.exp(-((side / 8.0) ** 2)) - 0.12 * (y + 50.0)
    floor = roof + (middle - roof) * _step(wing, 2.5)
    floor = floor + (posterior - middle) * _step(ridge - 8.0 * medial, 3.0 + 4.0 * medial)
    floor = floor + 24.0 * np.exp(-((ridge / 7.0) ** 2)) * (1 - medial)
    hole = (x - FORAMEN_MAGNUM[0]) ** 2 + (y - FORAMEN_MAGNUM[1]) ** 2 < 15.0**2
    result: Field = np.where(hole, -300.0, floor).astype(np.float32)
    return result


def cavity_distance(canvas: Canvas, build: Build) -> Field:
    """Signed distance to the inner skull, negative inside. The vault is egg-shaped, wider behind."""
    a, b, c = build.cavity_axes_mm
    widened = canvas.x / (1.0 + 0.0011 * canvas.y)
    height = np.where(canvas.z < 0, canvas.z * (c / 115.0), canvas.z)
    vault = ellipsoid(widened, canvas.y, height, (0.0, 0.0, 0.0), (a, b, c))
    base = _floor_height(canvas.x, canvas.y) - canvas.z
    neck = np.hypot(canvas.x, canvas.y - FORAMEN_MAGNUM[1]) - 13.0
    below = np.where(canvas.z < -60.0, neck, np.float32(-300.0))
    result: Field = np.maximum(np.maximum(vault, base), np.minimum(below, base + 300.0)).astype(np.float32)
    return result


def paint_soft_envelope(canvas: Canvas, build: Build, distance: Field) -> None:
    """Scalp, face and neck: muscle, fat and skin."""
    face = ellipsoid(canvas.x, canvas.y, canvas.z, (0.0, -34.0, -75.0), (66.0, 66.0, 72.0))
    neck = ellipsoid(canvas.x, canvas.y, canvas.z, (0.0, 34.0, -95.0), (62.0, 52.0, 85.0))
    scalp = distance - (build.skull_mm + build.scalp_mm) - 1.0 * canvas.noise("scalp", 30.0)
    scalp = np.where(canvas.z < -45.0, scalp + (-45.0 - canvas.z), scalp)
    outer = np.minimum(np.minimum(face, neck), scalp).astype(np.float32)
    grain = canvas.noise("muscle", 11.0)
    fat, muscle = canvas.rng("scalp").uniform(-105.0, -80.0), canvas.rng("muscle").uniform(45.0, 62.0)
    shallow = np.clip(1.0 + outer / 14.0, 0.0, 1.0)
    fatty = _step(np.abs(grain) * -1.6 + canvas.noise("fat", 18.0) * 0.7 - 0.3 + 1.3 * shallow, 0.12)
    tissue = muscle + (fat - muscle) * fatty
    tissue = np.where(outer > -2.0, 25.0, tissue).astype(np.float32)
    canvas.paint(coverage(outer, canvas.spacing_mm), tissue, Tissue.SCALP)
    bony = (np.abs(grain - 0.9) < 0.07) & (outer < -12.0) & (canvas.z < -25.0) & (canvas.y < 20.0)
    canvas.hu[bony] = 700.0
    canvas.labels[(outer < -10.0) & (canvas.z < -45.0)] = Tissue.FACE


def paint_skull(canvas: Canvas, build: Build, distance: Field) -> None:
    """Vault with two tables and diploe, skull base, petrous bones with mastoid cells, a ring of vertebra below."""
    thickness = build.skull_mm * np.clip(1.0 + 0.22 * canvas.noise("skull", 40.0), 0.45, 2.0)
    thin_base = (canvas.z < -62.0) | ((canvas.z < -12.0) & (canvas.y < -22.0) & (np.abs(canvas.x) < 45.0))
    thickness = np.where(thin_base, np.minimum(thickness, 4.0), thickness)
    depth = np.clip(distance / thickness, 0.0, 1.0)
    rng = canvas.rng("skull")
    table, diploe = rng.uniform(1150.0, 1800.0), rng.uniform(350.0, 950.0)
    marrow = np.clip(1.0 - np.abs(depth - 0.5) / 0.28, 0.0, 1.0)
    bone = table + (diploe - table) * marrow * np.clip(1.0 + 0.3 * canvas.noise("diploe", 6.0), 0.2, 1.5)
    shell = coverage(np.maximum(-distance, distance - thickness).astype(np.float32), canvas.spacing_mm)
    canvas.paint(shell, bone.astype(np.float32), Tissue.SKULL)
    _paint_petrous(canvas)


def _paint_petrous(canvas: Canvas) -> None:
    cells = canvas.noise("mastoid", 5.0)
    for side in SIDES:
        for t in np.linspace(0.0, 1.0, 5):
            centre = (side * (16.0 + 40.0 * t), 8.0 + 16.0 * t, -42.0 - 4.0 * t)
            canvas.blob(centre, (9.0, 8.0 + 3.0 * t, 13.0), 1500.0 - 400.0 * t, Tissue.SKULL)
        centre = (side * 56.0, 28.0, -46.0)
        box = canvas.box(centre, 20.0)
        hollow = coverage(canvas.distance(box, centre, (10.0, 14.0, 17.0)), 1.0) * (cells[box] > -0.2)
        canvas.paint(hollow.astype(np.float32), -850.0, Tissue.FACE, box)


def paint_air_spaces(canvas: Canvas) -> None:
    """Paranasal sinuses and nasal cavity with thin bony walls and septa; size and opacity vary."""
    rng = canvas.rng("sinuses")
    septa = np.abs(canvas.noise("septa", 7.0)) < 0.12
    scale = rng.uniform(0.75, 1.15)
    spaces = [((0.0, -62.0, -38.0), (11.0, 20.0, 13.0)), ((0.0, -26.0, -38.0), (12.0, 11.0, 9.0))]
    spaces.append(((0.0, -70.0, -66.0), (11.0, 22.0, 18.0)))
    for side in SIDES:
        spaces.append(((side * 28.0, -64.0, -66.0), (13.0, 15.0, 15.0)))
        spaces.append(((side * 11.0, -84.0, -14.0), (9.0, 5.0, 11.0)))
    for centre, axes in spaces:
        size = tuple(scale * rng.uniform(0.8, 1.15) * axis for axis in axes)
        box = canvas.box(centre, max(size))
        distance = canvas.distance(box, centre, (size[0], size[1], size[2]))
        canvas.paint(coverage(distance - 1.2, 1.0), 500.0, Tissue.FACE, box)
        content = 30.0 if rng.random() < 0.08 else -950.0
        inside = coverage(distance, 1.0) * ~(septa[box] & (abs(centre[0]) < 1.0))
        canvas.paint(inside.astype(np.float32), content, Tissue.FACE, box)


def paint_orbits(canvas: Canvas) -> None:
    """Fat, globe with lens, optic nerve and walls of both orbits."""
    fat = canvas.rng("orbits").uniform(-105.0, -80.0)
    for side in SIDES:
        cone, globe = (side * 31.0, -64.0, -41.0), (side * 32.0, -79.0, -41.0)
        canvas.blob(cone, (18.5, 26.5, 17.5), 600.0, Tissue.FACE)
        canvas.blob(cone, (17.0, 25.0, 16.0), fat, Tissue.FACE)
        canvas.blob((side * 26.0, -55.0, -41.0), (2.5, 18.0, 2.5), 38.0, Tissue.FACE)
        canvas.blob((side * 43.0, -60.0, -41.0), (2.0, 15.0, 5.0), 50.0, Tissue.FACE)
        canvas.blob(globe, (12.5, 12.5, 12.5), 45.0, Tissue.FACE)
        canvas.blob(globe, (11.3, 11.3, 11.3), 10.0, Tissue.FACE)
        canvas.blob((globe[0], -88.5, -41.0), (4.5, 2.0, 4.5), 85.0, Tissue.FACE)

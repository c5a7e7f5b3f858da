"""Procedural contents of the cranial cavity: brain, ventricles, dura, venous sinuses, vessels, calcifications."""

from __future__ import annotations

import numpy as np

from dicomnode.cohort.anatomy import SIDES, Build
from dicomnode.cohort.canvas import Canvas, Point, Tissue
from dicomnode.cohort.fields import Field, coverage


def paint_brain(canvas: Canvas, build: Build, distance: Field, inside: Field) -> None:
    """CSF, then grey and white matter: cortical ribbon along the surface and along random sulci, deep grey nuclei."""
    canvas.paint(inside, build.csf_hu, Tissue.CSF)
    depth = -distance - build.csf_gap_mm
    fold, patch = np.abs(canvas.noise("sulci", 11.0)), canvas.noise("white", 14.0)
    outer = np.clip(1.2 - depth / 18.0, 0.0, 1.0)
    open_sulcus = build.sulcus_width * outer
    share = inside * coverage(-depth, canvas.spacing_mm) * np.clip((fold - open_sulcus) * 9.0 + 0.5, 0.0, 1.0)
    cortex = np.clip(np.maximum(6.0 - depth + 1.5 * patch, 3.6 - 7.0 * (fold - open_sulcus) * (2.2 - outer)), 0.0, 1.0)
    folia = (canvas.z < -14.0 - 0.45 * np.abs(canvas.x)) & (canvas.y > 12.0)
    cortex = np.where(folia, 0.55 + 0.25 * patch, cortex)
    texture = 0.8 * canvas.noise("texture", 3.0) + 0.8 * patch
    tissue = build.white_hu + (build.grey_hu - build.white_hu) * np.clip(cortex, 0.0, 1.0) + texture
    canvas.paint(share.astype(np.float32), tissue.astype(np.float32), Tissue.WHITE_MATTER)
    canvas.labels[(share > 0.5) & (cortex > 0.5)] = Tissue.GREY_MATTER
    for side in SIDES:
        canvas.blob((side * 11.0, 6.0, 4.0), (8.0, 14.0, 9.0), build.grey_hu + 0.5, Tissue.GREY_MATTER, inside)
        canvas.blob((side * 25.0, -6.0, 4.0), (6.5, 18.0, 11.0), build.grey_hu + 0.5, Tissue.GREY_MATTER, inside)
    canvas.blob((0.0, 21.0, -45.0), (13.0, 11.0, 32.0), build.white_hu + 3.0, Tissue.WHITE_MATTER, inside)


def _ventricle_parts(scale: float) -> list[tuple[Point, Point]]:
    w = 5.0 * scale
    parts: list[tuple[Point, Point]] = [
        ((0.0, 4.0, -2.0), (1.8 * scale, 12.0, 9.0)),
        ((0.0, 45.0, -40.0), (7.0, 4.5, 9.0)),
    ]
    for side in SIDES:
        parts.append(((side * (4.0 + w), 2.0, 20.0), (w, 27.0, 6.0 + 0.4 * w)))
        parts.append(((side * (4.5 + w), -24.0, 12.0), (w, 13.0, 8.0)))
        parts.append(((side * 23.0, 32.0, 8.0), (w + 0.5, 15.0, 8.5)))
        parts.append(((side * 31.0, 6.0, -18.0), (0.5 * w, 16.0, 0.5 * w)))
    return parts


def paint_ventricles(canvas: Canvas, build: Build, inside: Field) -> None:
    """Lateral (body, horns, atrium), third and fourth ventricle."""
    rng = canvas.rng("ventricles")
    for centre, axes in _ventricle_parts(build.ventricle_scale):
        size = tuple(axis * rng.uniform(0.9, 1.1) for axis in axes)
        canvas.blob(centre, (size[0], size[1], size[2]), build.csf_hu, Tissue.VENTRICLE, inside)


def paint_cisterns(canvas: Canvas, build: Build, inside: Field) -> None:
    """Basal cisterns and Sylvian fissures."""
    width = 1.0 + build.csf_gap_mm
    canvas.blob((0.0, -6.0, -20.0), (11.0, 8.0, 3.5), build.csf_hu, Tissue.CSF, inside)
    canvas.blob((0.0, 30.0, -8.0), (13.0, 3.0, 3.0), build.csf_hu, Tissue.CSF, inside)
    for side in SIDES:
        canvas.blob((side * 46.0, -12.0, -2.0), (13.0, 20.0, 0.9 * width), build.csf_hu, Tissue.CSF, inside)
        canvas.blob((side * 42.0, -14.0, 4.0), (0.8 * width, 20.0, 9.0), build.csf_hu, Tissue.CSF, inside)


def paint_dura(canvas: Canvas, build: Build, distance: Field, inside: Field) -> None:
    """Falx, tentorium, sagittal and transverse sinuses: bright and thin, the commonest false alarms."""
    rng = canvas.rng("dura")
    dura_hu, half_mm = rng.uniform(42.0, 62.0), rng.uniform(0.4, 1.1)
    middle = np.abs(canvas.x + 0.8 * canvas.noise("falx", 25.0))
    reach = 42.0 + 6.0 * (canvas.y < 0)
    falx_zone = inside * (distance > -reach) * (canvas.z > -12.0) * ((np.abs(canvas.y) > 32.0) | (canvas.z > 28.0))
    gap = coverage(middle - half_mm - 0.5 * build.csf_gap_mm, 1.0) * falx_zone
    canvas.paint(gap.astype(np.float32), build.csf_hu, Tissue.CSF)
    falx = coverage(middle - half_mm, canvas.spacing_mm) * falx_zone
    canvas.paint(falx.astype(np.float32), dura_hu, Tissue.DURA)
    sheet = np.abs(canvas.z + 8.0 + 0.42 * np.abs(canvas.x))
    tent_zone = inside * (canvas.y > 6.0) * ((np.abs(canvas.x) > 17.0) | (canvas.y > 46.0))
    canvas.paint((coverage(sheet - half_mm, canvas.spacing_mm) * tent_zone).astype(np.float32), dura_hu, Tissue.DURA)
    _paint_sinuses(canvas, build, distance, inside, middle)


def _paint_sinuses(canvas: Canvas, build: Build, distance: Field, inside: Field, middle: Field) -> None:
    rng = canvas.rng("venous")
    size = rng.uniform(3.5, 7.5)
    sagittal = (middle + 0.7 * -distance - size) * 0.8
    zone = inside * ((canvas.z > 35.0) | (canvas.y > 30.0)) * (canvas.z > -26.0)
    canvas.paint((coverage(sagittal, 1.0) * zone).astype(np.float32), build.blood_pool_hu, Tissue.VENOUS_SINUS)
    for side in SIDES:
        radius = size * rng.uniform(0.5, 1.0)
        ring = np.hypot(canvas.z + 27.0 + 0.1 * canvas.y, distance + 0.5) - 0.8 * radius
        zone = inside * (canvas.y > 28.0) * (canvas.x * side > 0)
        canvas.paint((coverage(ring, 1.0) * zone).astype(np.float32), build.blood_pool_hu, Tissue.VENOUS_SINUS)


def paint_vessels(canvas: Canvas, build: Build, inside: Field) -> None:
    """Basilar, carotid and middle cerebral arteries, the great vein."""
    hu = build.blood_pool_hu - canvas.rng("vessels").uniform(0.0, 8.0)
    canvas.blob((0.0, 8.0, -32.0), (1.8, 1.8, 14.0), hu, Tissue.VESSEL, inside)
    canvas.blob((0.0, 27.0, 6.0), (2.0, 6.0, 2.0), hu, Tissue.VESSEL, inside)
    for side in SIDES:
        canvas.blob((side * 20.0, -10.0, -19.0), (14.0, 1.4, 1.4), hu, Tissue.VESSEL, inside)
        canvas.blob((side * 12.0, -6.0, -23.0), (2.2, 2.2, 4.0), hu, Tissue.VESSEL, inside)


def paint_calcifications(canvas: Canvas, inside: Field) -> None:
    """Choroid plexus, pineal gland, carotid walls, falx and basal ganglia: dense, and no blood."""
    rng = canvas.rng("calcifications")
    sites: list[tuple[Point, float, float]] = [((0.0, 24.0, 3.0), 0.8, 2.6)]
    for side in SIDES:
        sites.append(((side * 22.0, 31.0, 7.0), 0.75, 3.2))
        sites.append(((side * 11.5, -7.0, -23.0), 0.5, 1.8))
        sites.append(((side * 19.0, -6.0, 3.0), 0.12, 3.0))
    sites.append(((0.0, -45.0, 45.0), 0.25, 3.0))
    sites.append(((0.0, 50.0, 40.0), 0.15, 2.5))
    for centre, chance, size_mm in sites:
        here = rng.random() < chance
        shift, axes = rng.normal(0.0, 1.5, 3), size_mm * rng.uniform(0.4, 1.4, 3)
        hu = float(np.exp(rng.uniform(np.log(70.0), np.log(600.0))))
        if here:
            thin = 0.4 if centre[0] == 0.0 and abs(centre[1]) > 40.0 else 1.0
            place = (centre[0] + shift[0] * thin, centre[1] + shift[1], centre[2] + shift[2])
            canvas.blob(place, (axes[0] * thin, axes[1], axes[2]), hu, Tissue.CALCIFICATION, inside)


def paint_old_lesions(canvas: Canvas, inside: Field) -> None:
    """Old infarcts and white matter disease: darker than brain, never blood."""
    rng = canvas.rng("old lesions")
    for index in range(int(rng.choice([0, 0, 0, 1, 2]))):
        centre = (
            float(rng.choice(SIDES)) * rng.uniform(15.0, 50.0),
            rng.uniform(-50.0, 60.0),
            rng.uniform(-10.0, 50.0),
        )
        axes = rng.uniform(4.0, 18.0, 3)
        box = canvas.box(centre, float(axes.max()))
        rough = canvas.distance(box, centre, (axes[0], axes[1], axes[2])) + 2.5 * canvas.noise(f"old {index}", 9.0)[box]
        matter = (canvas.labels[box] == Tissue.WHITE_MATTER) | (canvas.labels[box] == Tissue.GREY_MATTER)
        canvas.hu[box] -= coverage(rough, 3.0) * inside[box] * matter * rng.uniform(6.0, 18.0)


def harden_beam(canvas: Canvas, distance: Field, inside: Field) -> None:
    """Cupping below the skull and dark or bright bands between the petrous bones (beam hardening)."""
    rng = canvas.rng("beam hardening")
    canvas.hu += inside * rng.uniform(0.0, 9.0) * np.exp(np.minimum(distance, 0.0) / rng.uniform(2.5, 6.0))
    band = canvas.noise("streak", 9.0)[:, :, :1] * rng.uniform(0.0, 7.0)
    low = np.exp(-(((canvas.z + 48.0) / 14.0) ** 2))
    canvas.hu += inside * low * (band - 2.0)

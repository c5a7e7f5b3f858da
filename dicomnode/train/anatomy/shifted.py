"""Scans of heads whose midline has moved, and of straight ones, with what is true of them.

Most heads do not shift, and painting one takes a second or two: the shift to be expected is computed from the lesions
that were drawn, before anything is painted, and heads with one are preferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import Canvas, Point
from dicomnode.cohort.edition import BENT, SECOND, Edition
from dicomnode.cohort.lesions import Lesions, draw_lesions
from dicomnode.cohort.mass_effect import SEPTUM, Layer, motion_mm
from dicomnode.cohort.midline import block_origin_mm, shift_from_ideal_mm
from dicomnode.cohort.painter import Anatomy, Painter
from dicomnode.cohort.patients import Site
from dicomnode.cohort.scanner import draw_protocol, scan_scene
from dicomnode.cohort.scene import make_anatomy, make_scene
from dicomnode.cohort.second.lesions import draw_lesions as draw_second_lesions
from dicomnode.cohort.second.painter import SecondPainter
from dicomnode.cohort.template import make_template_anatomy
from dicomnode.dicom.geometry import weights_of
from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.place import Places
from dicomnode.records import Stack, Volume
from dicomnode.train.anatomy.heads import WARPED_SHARE

Axis = NDArray[np.float64]

FIRST_SEED, SEEDS_A_SCAN, SCANS_A_HEAD = 8_000_000, 64, 3
"""Seeds lie where no cohort's and no benchmark's do; of a scan's the first that is wanted is taken."""
SHIFTED_SHARE, LEAST_SHIFT_MM = 0.65, 2.5
SECOND_SHARE = 0.4
ARMS = {"ich": 0.62, "trauma": 0.24, "post_evt": 0.05, "stroke_no_evt": 0.05, "normal": 0.04}
SITES = (Site.A, Site.B, Site.A, Site.C)
SPACING_MM, MATRIX = 1.8, 256
REACH_MM = 40.0
"""It is moved no farther."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A scan and what is true of it.

    Attributes
    ----------
    frame : that was found; None where none was.
    septum_mm : (3,) patient coordinates to which the septum has been moved.
    shift_mm : how far the septum lies to the left of the ideal midline (:mod:`dicomnode.cohort.midline`).
    pushed_mm : how far it was pushed to the left from where it lay.
    base : the head without lesions.
    """

    volume: Volume
    frame: Frame | None
    septum_mm: NDArray[np.float64]
    shift_mm: float
    pushed_mm: float
    base: Anatomy


def expected_shift_mm(lesions: Lesions, edition: Edition) -> float:
    """About how far the septum will be pushed, either way."""
    round_ml = lesions.iph_ml * (not lesions.petechial) + 0.5 * lesions.oedema_ml
    cubed = 3000.0 * edition.pressure * (round_ml + 0.06 * lesions.infarct_ml) / (4.0 * np.pi)
    away = np.asarray(SEPTUM) - lesions.place_mm
    r = float(np.linalg.norm(away)) + 1e-3
    pushed = -away[0] / r * (np.cbrt(r**3 + cubed) - r) * (0.15 if lesions.infratentorial else 1.0)
    surface_ml = lesions.sdh_ml + lesions.sdh_old_ml + lesions.edh_ml
    return abs(float(lesions.side * pushed)) + 0.45 * edition.surface * surface_ml / (1.0 + surface_ml / 200.0)


def drawn(number: int, edition: Edition) -> tuple[int, Lesions]:
    """Seed and lesions of the scan of a number."""
    rng = np.random.default_rng([FIRST_SEED, number])
    wanted = rng.random() < SHIFTED_SHARE
    for attempt in range(SEEDS_A_SCAN):
        seed = FIRST_SEED + SEEDS_A_SCAN * number + attempt
        arm, age, severity = (
            str(rng.choice(list(ARMS), p=list(ARMS.values()))),
            int(rng.integers(25, 95)),
            float(rng.uniform(-0.5, 2.5)),
        )
        if edition is SECOND:
            lesions = draw_second_lesions(arm, age, severity, float(rng.uniform(1.0, 48.0)), seed)
        else:
            lesions = draw_lesions(arm, age, severity, seed)
        if not wanted or expected_shift_mm(lesions, edition) >= LEAST_SHIFT_MM:
            break
    return seed, lesions


Drawing = tuple[int, Lesions]
"""Seed and lesions of one scan."""


def base_of(number: int, templates: Path | None, spacing_mm: float) -> tuple[Anatomy, Edition, list[Drawing]]:
    """The head of a number without lesions, its edition, and what each of its scans shows."""
    rng = np.random.default_rng([FIRST_SEED, number, 1])
    edition, warped = SECOND if rng.random() < SECOND_SHARE else BENT, rng.random() < WARPED_SHARE
    drawings = [drawn(SCANS_A_HEAD * number + which, edition) for which in range(SCANS_A_HEAD)]
    seed, first = drawings[0]
    make = make_anatomy if templates is None or not warped else partial(make_template_anatomy, templates)
    base = make(seed, first, spacing_mm=spacing_mm, edition=edition)
    atrophy, leukoaraiosis = first.atrophy, first.leukoaraiosis
    return base, edition, [(one, replace(own, atrophy=atrophy, leukoaraiosis=leukoaraiosis)) for one, own in drawings]


def scan_head(number: int, templates: Path | None) -> Iterator[Scanned]:
    """Paint the head of a number and scan it with each of its lesions; the same ones for the same arguments."""
    rng = np.random.default_rng([FIRST_SEED, number, 2])
    base, edition, drawings = base_of(number, templates, SPACING_MM)
    for seed, lesions in drawings:
        yield scanned(replace(base, seed=seed), lesions, edition, SITES[int(rng.integers(len(SITES)))])


def scanned(base: Anatomy, lesions: Lesions, edition: Edition, site: Site) -> Scanned:
    """A head with lesions, as a site scans it, and what is true of it."""
    scene = make_scene(base, lesions, edition)
    scan = scan_scene(scene, *draw_protocol(site, base.seed, "baseline", MATRIX), base.seed)
    series = scan.series
    row, column = np.array(series.image_orientation[:3]), np.array(series.image_orientation[3:])
    septum_mm = moved_septum_mm(base, lesions, edition)
    volume = volume_of(series.hu, series.image_positions_mm, row, column, series.acquisition.pixel_mm)
    return Scanned(
        volume=volume,
        frame=Places(volume).frame,
        septum_mm=septum_mm,
        shift_mm=shift_from_ideal_mm(base, septum_mm),
        pushed_mm=scene.midline_shift_mm,
        base=base,
    )


def moved_septum_mm(base: Anatomy, lesions: Lesions, edition: Edition) -> NDArray[np.float64]:
    """(3,) patient coordinates to which the septum has been moved."""
    canvas = base.canvas
    near = np.zeros(canvas.shape, bool)
    near[canvas.box(SEPTUM, REACH_MM)] = True
    painter = (SecondPainter if edition is SECOND else Painter)(base, lesions, edition)
    causes = [cause for cause in painter.causes() if not isinstance(cause, Layer)]
    moved = motion_mm(canvas, near, base.distance, causes, edition)
    came = np.stack([axis[near] for axis in (canvas.x, canvas.y, canvas.z)]) - moved
    block_mm = np.argwhere(near)[:, ::-1] * canvas.spacing_mm + block_origin_mm(canvas)
    return _now_mm(canvas, block_mm, came, SEPTUM)


def _now_mm(
    canvas: Canvas, block_mm: NDArray[np.float64], came: NDArray[np.float32], place: Point
) -> NDArray[np.float64]:
    """(3,) patient coordinates of what was at a place; between voxels as if all around moved alike."""
    away = came - np.array(place, np.float32)[:, None]
    nearest = int(np.argmin((away**2).sum(axis=0)))
    return np.asarray(block_mm[nearest] - canvas.rotation.T @ away[:, nearest])


def volume_of(
    hu: NDArray[np.float32], positions_mm: NDArray[np.float64], row: Axis, column: Axis, pixel_mm: float
) -> Volume:
    """The volume a receiver makes of slices whose positions ascend.

    Parameters
    ----------
    positions_mm : (slices, 3) ImagePositionPatient. ``row``, ``column`` : (3,) ImageOrientationPatient.
    """
    normal = np.cross(row, column)
    offsets_mm = positions_mm @ normal
    stack = Stack(
        order=tuple(range(len(hu))),
        positions_mm=positions_mm,
        row_cosines=row,
        column_cosines=column,
        normal=normal,
        offsets_mm=offsets_mm,
        weights_mm=weights_of(offsets_mm),
        rows=hu.shape[1],
        columns=hu.shape[2],
        row_spacing_mm=pixel_mm,
        column_spacing_mm=pixel_mm,
        shear=(0.0, 0.0),
    )
    return Volume(hu, stack, tuple(f"1.2.{number}" for number in range(len(hu))))

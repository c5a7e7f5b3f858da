"""Scans of heads whose midline has moved, and of straight ones, with what is true of them, kept as files.

Most heads do not shift, and painting one takes a second or two: the shift to be expected is computed from the lesions
that were drawn, before anything is painted, and heads with one are preferred.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.acquire import AcquiredSeries
from dicomnode.cohort.canvas import CENTRE_MM, EXTENT_MM, Canvas, Point, Tissue
from dicomnode.cohort.edition import BENT, SECOND, Edition
from dicomnode.cohort.lesions import Lesions, draw_lesions
from dicomnode.cohort.mass_effect import SEPTUM
from dicomnode.cohort.painter import Anatomy, Painter
from dicomnode.cohort.patients import Site
from dicomnode.cohort.scanner import draw_protocol, scan_scene
from dicomnode.cohort.scene import make_anatomy, make_scene
from dicomnode.cohort.second.lesions import draw_lesions as draw_second_lesions
from dicomnode.cohort.second.painter import SecondPainter
from dicomnode.cohort.template import make_template_anatomy
from dicomnode.dicom.geometry import weights_of
from dicomnode.measure.anatomy.frame import find_frame
from dicomnode.measure.anatomy.plane import mid_plane
from dicomnode.records import Stack, Volume
from dicomnode.train.anatomy.heads import WARPED_SHARE, known_head

FIRST_SEED, SEEDS_A_HEAD = 8_000_000, 64
"""Seeds lie where no cohort's and no benchmark's do; of a head's the first that is wanted is taken."""
SHIFTED_SHARE, LEAST_SHIFT_MM = 0.65, 2.5
SECOND_SHARE = 0.4
ARMS = (("ich", 0.62), ("trauma", 0.24), ("post_evt", 0.05), ("stroke_no_evt", 0.05), ("normal", 0.04))
SITES = (Site.A, Site.B, Site.A, Site.C)
SPACING_MM, MATRIX = 1.8, 256
SEPTUM_Y_MM, SEPTUM_Z_MM = np.arange(-22.0, 7.0, 4.0), np.arange(4.0, 29.0, 4.0)
"""Points of the septum, in head coordinates, before anything has moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A scan and what is true of it.

    Attributes
    ----------
    matrix : (3, 4) head coordinates from patient coordinates, the best affine fit.
    septum_mm : (z, y, 3) patient coordinates to which ``SEPTUM_Z_MM``, ``SEPTUM_Y_MM`` have been moved.
    shift_mm : of the septum, to the left positive.
    findings : (slices, rows, columns) uint8.
    tissue_ml : (tissues,) painted volume of each :class:`~dicomnode.cohort.canvas.Tissue` within the skull.
    """

    volume: Volume
    matrix: NDArray[np.float64]
    septum_mm: NDArray[np.float64]
    shift_mm: float
    findings: NDArray[np.uint8]
    tissue_ml: NDArray[np.float64]


def expected_shift_mm(lesions: Lesions, edition: Edition) -> float:
    """About how far the septum will be pushed, either way."""
    round_ml = lesions.iph_ml * (not lesions.petechial) + 0.5 * lesions.oedema_ml
    cubed = 3000.0 * edition.pressure * (round_ml + 0.06 * lesions.infarct_ml) / (4.0 * np.pi)
    away = np.asarray(SEPTUM) - lesions.place_mm
    r = float(np.linalg.norm(away)) + 1e-3
    pushed = -away[0] / r * (np.cbrt(r**3 + cubed) - r) * (0.15 if lesions.infratentorial else 1.0)
    surface_ml = lesions.sdh_ml + lesions.sdh_old_ml + lesions.edh_ml
    return abs(float(lesions.side * pushed)) + 0.45 * edition.surface * surface_ml / (1.0 + surface_ml / 200.0)


def drawn(number: int) -> tuple[int, Edition, Lesions]:
    """Seed, edition and lesions of the head of a number."""
    rng = np.random.default_rng([FIRST_SEED, number])
    edition, wanted = SECOND if rng.random() < SECOND_SHARE else BENT, rng.random() < SHIFTED_SHARE
    names, shares = zip(*ARMS, strict=True)
    for attempt in range(SEEDS_A_HEAD):
        seed = FIRST_SEED + SEEDS_A_HEAD * number + attempt
        arm, age, severity = str(rng.choice(names, p=shares)), int(rng.integers(25, 95)), float(rng.uniform(-0.5, 2.5))
        if edition is SECOND:
            lesions = draw_second_lesions(arm, age, severity, float(rng.uniform(1.0, 48.0)), seed)
        else:
            lesions = draw_lesions(arm, age, severity, seed)
        if not wanted or expected_shift_mm(lesions, edition) >= LEAST_SHIFT_MM:
            break
    return seed, edition, lesions


def scan_head(number: int, templates: Path | None) -> Scanned:
    """Paint and scan the head of a number; the same one for the same arguments."""
    seed, edition, lesions = drawn(number)
    warped = templates is not None and np.random.default_rng(seed).random() < WARPED_SHARE
    make = partial(make_template_anatomy, templates) if warped else make_anatomy
    base = make(seed, lesions, spacing_mm=SPACING_MM, edition=edition)
    scene = make_scene(base, lesions, edition)
    scan = scan_scene(scene, *draw_protocol(SITES[number % len(SITES)], seed, "baseline", MATRIX), seed)
    return Scanned(
        volume=volume_of(scan.series),
        matrix=known_head(base, scene).matrix,
        septum_mm=moved_septum_mm(base, lesions, edition),
        shift_mm=scene.midline_shift_mm,
        findings=scan.findings,
        tissue_ml=np.bincount(scene.head.labels[scene.head.cavity], minlength=len(Tissue)) * SPACING_MM**3 / 1000.0,
    )


def moved_septum_mm(base: Anatomy, lesions: Lesions, edition: Edition) -> NDArray[np.float64]:
    """(z, y, 3) patient coordinates to which the points of the septum have been moved; see :class:`Scanned`.

    Head coordinates are moved by the lesions as if they were HU, and looked up where they came to.
    """
    came = np.stack([_moved(base, lesions, edition, axis) for axis in (base.canvas.x, base.canvas.y, base.canvas.z)])
    return np.array([[_now_mm(base.canvas, came, (0.0, y, z)) for y in SEPTUM_Y_MM] for z in SEPTUM_Z_MM])


def _moved(base: Anatomy, lesions: Lesions, edition: Edition, values: NDArray[np.float32]) -> NDArray[np.float32]:
    canvas = dataclasses.replace(base.canvas, hu=values.copy())
    painter = SecondPainter if edition is SECOND else Painter
    moving = painter(dataclasses.replace(base, canvas=canvas), lesions, edition)
    moving.mass_effect()
    return moving.canvas.hu


def _now_mm(canvas: Canvas, came: NDArray[np.float32], place: Point) -> NDArray[np.float64]:
    """(3,) patient coordinates of what was at a place; between voxels as if all around moved alike."""
    box = canvas.box((0.0, -10.0, 16.0), 48.0)
    here = came[(slice(None), *box)]
    away = here - np.array(place, np.float32)[:, None, None, None]
    index = np.unravel_index(int(np.argmin((away**2).sum(axis=0))), away.shape[1:])
    middle = [(start.start + at + 0.5) * canvas.spacing_mm for start, at in zip(box, index, strict=True)]
    low = [extent / 2 + shift for extent, shift in zip(EXTENT_MM, CENTRE_MM, strict=True)]
    block_mm = np.subtract(middle, low)[::-1]
    return np.asarray(block_mm - canvas.rotation.T @ away[(slice(None), *index)])


def volume_of(series: AcquiredSeries) -> Volume:
    """The volume a receiver makes of an acquired series whose positions ascend."""
    positions = series.image_positions_mm
    row, column = np.array(series.image_orientation[:3]), np.array(series.image_orientation[3:])
    normal = np.cross(row, column)
    offsets_mm, pixel_mm = positions @ normal, series.acquisition.pixel_mm
    stack = Stack(
        order=tuple(range(len(positions))),
        positions_mm=positions,
        row_cosines=row,
        column_cosines=column,
        normal=normal,
        offsets_mm=offsets_mm,
        weights_mm=weights_of(offsets_mm),
        rows=series.hu.shape[1],
        columns=series.hu.shape[2],
        row_spacing_mm=pixel_mm,
        column_spacing_mm=pixel_mm,
        shear=(0.0, 0.0),
    )
    return Volume(series.hu, stack, tuple(f"1.2.{number}" for number in range(len(positions))))


def scan_heads(out: Path, count: int, templates: Path | None) -> Iterator[Path]:
    """Paint and scan heads that are not there yet, one file each; yields every file when it is there."""
    out.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = out / f"{number:05d}.npz"
        if not path.exists():
            temporary = path.with_suffix(".tmp.npz")
            _save(temporary, scan_head(number, templates))
            temporary.replace(path)
        yield path


def _save(path: Path, head: Scanned) -> None:
    plane = mid_plane(head.volume)
    frame = None if plane is None else find_frame(head.volume, plane)
    stack = head.volume.stack
    np.savez(
        path,
        hu=np.rint(head.volume.hu).clip(-1024, 3000).astype(np.int16),
        findings=head.findings,
        positions_mm=stack.positions_mm,
        row_cosines=stack.row_cosines,
        column_cosines=stack.column_cosines,
        pixel_mm=stack.row_spacing_mm,
        matrix=head.matrix,
        septum_mm=head.septum_mm,
        shift_mm=head.shift_mm,
        tissue_ml=head.tissue_ml,
        frame=np.full((3, 4), np.nan) if frame is None else frame.matrix,
        likeness=-1.0 if frame is None else frame.likeness,
    )

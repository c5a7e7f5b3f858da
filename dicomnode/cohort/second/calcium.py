"""Calcium where real heads have it: dense, and no blood.

How often: pineal 0.71, choroid plexus 0.66, habenula 0.20, falx and tentorium 0.07 to 0.27, vessels 0.07, basal ganglia
0.01 of adults (Daghighi et al. 2007, 1,569 heads; Ghorbanlou et al. 2022, 216 heads: plexus 0.68 right and 0.63 left,
falx 0.27, tentorium 0.07, petroclinoid ligament 0.13); all but the lens rise with age. Sizes and attenuation, the share
of the siphon (which the studies count by other rules), and the bone of the sella are this cohort's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dicomnode.cohort.anatomy import SIDES
from dicomnode.cohort.canvas import Canvas, Point, Tissue
from dicomnode.cohort.fields import Field, blend, coverage

BRAIN_HU = 35.0
RAISED_HU = 8.0
"""A voxel that calcium makes so much denser than brain is labelled calcium, however little of it it holds."""
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """A place of calcium.

    Attributes
    ----------
    centre_mm : on the left or in the middle; ``axes_mm`` : half widths of the whole deposit.
    young, old : share of persons who have it at atrophy 0 and 1.
    hu : range of its attenuation (log-uniform).
    specks : of which it is made; one is a plain ellipsoid.
    """

    centre_mm: Point
    axes_mm: Point
    young: float
    old: float
    hu: tuple[float, float]
    specks: int = 1


PAIRED: tuple[Deposit, ...] = (
    Deposit(centre_mm=(22.5, 31.0, 7.0), axes_mm=(3.0, 4.5, 3.0), young=0.5, old=0.85, hu=(90.0, 700.0), specks=5),
    Deposit(centre_mm=(19.0, -6.0, 3.0), axes_mm=(2.5, 5.0, 3.5), young=0.005, old=0.06, hu=(55.0, 160.0), specks=7),
    Deposit(centre_mm=(12.0, -14.0, -21.5), axes_mm=(1.8, 3.4, 1.6), young=0.8, old=0.9, hu=(400.0, 1000.0)),
    Deposit(centre_mm=(6.0, -1.0, -22.5), axes_mm=(1.3, 1.4, 1.8), young=0.6, old=0.7, hu=(350.0, 900.0)),
    Deposit(centre_mm=(13.0, 1.0, -23.0), axes_mm=(5.0, 0.9, 0.8), young=0.04, old=0.2, hu=(120.0, 500.0), specks=3),
    Deposit(centre_mm=(20.0, 24.0, -16.5), axes_mm=(0.9, 9.0, 0.9), young=0.02, old=0.12, hu=(90.0, 400.0), specks=3),
)
"""Glomus of the choroid plexus, basal ganglia, anterior and posterior clinoid process, petroclinoid ligament and edge
of the tentorium: on both sides where they are, but for the plexus, of which one side in six stays soft."""
SINGLE: tuple[Deposit, ...] = (
    Deposit(centre_mm=(0.0, 24.0, 3.0), axes_mm=(2.2, 3.2, 2.2), young=0.6, old=0.8, hu=(80.0, 600.0), specks=3),
    Deposit(centre_mm=(0.0, 19.5, 4.5), axes_mm=(2.4, 0.8, 0.8), young=0.12, old=0.3, hu=(80.0, 250.0), specks=3),
    Deposit(centre_mm=(0.0, -1.0, -25.5), axes_mm=(6.0, 1.2, 3.0), young=0.85, old=0.85, hu=(400.0, 1000.0)),
    Deposit(centre_mm=(0.0, -48.0, 44.0), axes_mm=(0.8, 9.0, 6.0), young=0.04, old=0.3, hu=(90.0, 600.0), specks=2),
    Deposit(centre_mm=(0.0, 48.0, 38.0), axes_mm=(0.7, 7.0, 5.0), young=0.02, old=0.15, hu=(90.0, 500.0), specks=2),
    Deposit(centre_mm=(0.0, -30.0, 52.0), axes_mm=(1.3, 24.0, 7.0), young=0.01, old=0.05, hu=(200.0, 900.0), specks=4),
)
"""Pineal, habenula, dorsum sellae, plaques of the falx in front and behind, and a falx turned to bone."""
SIPHON: tuple[Point, float] = (12.0, -6.0, -23.0), 2.4
VERTEBRAL: tuple[Point, float] = (8.0, 22.0, -58.0), 1.9


def paint_calcium(canvas: Canvas, distance: Field, inside: Field, atrophy: float) -> None:
    """Add deposits in place: HU, and the label ``CALCIFICATION`` wherever they show, partial volume included.

    Parameters
    ----------
    distance : (z, y, x) signed distance to the inner skull, negative inside; ``inside`` : share of each voxel inside.
    atrophy : 0 to 1, stands for age.
    """
    rng = canvas.rng("calcium")
    for deposit in PAIRED:
        here = rng.random() < deposit.young + (deposit.old - deposit.young) * atrophy
        lone = rng.random() < 0.33 and deposit.specks == 5
        spared = float(rng.choice(SIDES))
        for side in SIDES:
            x, y, z = deposit.centre_mm
            _deposit(canvas, inside, deposit, (side * x, y, z), rng, here and not (lone and side == spared))
    for deposit in SINGLE:
        here = rng.random() < deposit.young + (deposit.old - deposit.young) * atrophy
        _deposit(canvas, inside, deposit, deposit.centre_mm, rng, here)
    for (centre, radius), share in ((SIPHON, 0.1 + 0.5 * atrophy), (VERTEBRAL, 0.25 * atrophy)):
        here = rng.random() < share
        for side in SIDES:
            _wall(canvas, inside, (side * centre[0], centre[1], centre[2]), radius, rng, here and rng.random() < 0.8)
    for index in range(int(rng.random() < 0.06 + 0.12 * atrophy) * int(rng.integers(1, 3))):
        _plaque(canvas, distance, inside, canvas.rng("plaque", index))


def _add(canvas: Canvas, box: Box, share: Field, hu: float) -> None:
    share = np.asarray(share, np.float32)
    blend(canvas.hu[box], share, np.maximum(canvas.hu[box], np.float32(hu)))
    canvas.labels[box][(share > 0.02) & (canvas.hu[box] > BRAIN_HU + RAISED_HU)] = Tissue.CALCIFICATION


def _deposit(
    canvas: Canvas, inside: Field, deposit: Deposit, centre: Point, rng: np.random.Generator, here: bool
) -> None:
    """Specks scattered over an ellipsoid; draws the same numbers whether or not it is there."""
    size, shift = rng.uniform(0.45, 1.15), rng.normal(0.0, 0.25, 3)
    low, high = deposit.hu
    hu = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    offsets, sizes = rng.uniform(-1.0, 1.0, (deposit.specks, 3)), rng.uniform(0.35, 0.6, deposit.specks)
    if not here:
        return
    axes = size * np.asarray(deposit.axes_mm)
    for offset, part in zip(offsets, sizes, strict=True):
        alone = deposit.specks == 1
        place = np.asarray(centre) + (shift + (0.0 if alone else 0.7) * offset) * axes
        half = np.maximum(axes * (1.0 if alone else part), 0.45)
        box = canvas.box(tuple(place), float(half.max()))
        share = coverage(canvas.distance(box, tuple(place), tuple(half)), canvas.spacing_mm)
        _add(canvas, box, share * inside[box], hu)


def _wall(canvas: Canvas, inside: Field, centre: Point, radius: float, rng: np.random.Generator, here: bool) -> None:
    """Arc or ring in the wall of an artery that runs upwards."""
    start, span = rng.uniform(-np.pi, np.pi), rng.uniform(0.8, 6.0)
    thick, hu = rng.uniform(0.25, 0.6), float(np.exp(rng.uniform(np.log(150.0), np.log(900.0))))
    if not here:
        return
    box = canvas.box(centre, radius + 3.0)
    x, y, z = canvas.x[box] - centre[0], canvas.y[box] - centre[1], canvas.z[box] - centre[2]
    ring = np.abs(np.hypot(x, y) - radius) - thick
    turned = np.mod(np.arctan2(y, x) - start, 2.0 * np.pi) < span
    share = coverage(np.maximum(ring, np.abs(z) - 3.0), canvas.spacing_mm) * turned
    _add(canvas, box, share * inside[box], hu)


def _plaque(canvas: Canvas, distance: Field, inside: Field, rng: np.random.Generator) -> None:
    """Flat plaque on the dura below the vault."""
    side, azimuth, elevation = float(rng.choice(SIDES)), rng.uniform(-1.2, 1.2), rng.uniform(0.2, 1.2)
    aim = np.array([side * np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    place = tuple(float(v) for v in aim * np.array([64.0, 80.0, 70.0]))
    wide, thick = rng.uniform(3.0, 8.0), rng.uniform(0.6, 1.4)
    hu = float(np.exp(rng.uniform(np.log(120.0), np.log(900.0))))
    box = canvas.box((place[0], place[1], place[2]), 12.0)
    away = np.sqrt((canvas.x[box] - place[0]) ** 2 + (canvas.y[box] - place[1]) ** 2 + (canvas.z[box] - place[2]) ** 2)
    sheet = np.maximum(np.abs(distance[box] + 1.0) - thick, away - wide)
    _add(canvas, box, coverage(sheet, canvas.spacing_mm) * inside[box], hu)

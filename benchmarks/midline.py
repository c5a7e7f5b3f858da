"""Midline shift on unseen synthetic heads whose midline is shifted.

``python -m benchmarks.midline --heads 60 --templates FOLDER --processes 2`` draws parenchymal bleeds of 25 mL and more
in heads of the cohort's edition ``BENT`` (every third warped from a CT template where one is given), passes over those
whose septum moved by less than 3 mm, scans the others as the cohort's sites do, and measures. What is true is told in
two ways: how far the septum lies from the ideal midline, between the ends of the falx, as readers measure it
(:mod:`dicomnode.cohort.midline`); and how far it was pushed from where it lay, which in a bent head nobody can see.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.anatomy import LIMIT_ML, ideal_shift_mm, is_warped, painted, scanned
from dicomnode.cohort.lesions import draw_lesions
from dicomnode.cohort.scene import Finding
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.measure.anatomy.head import beside_bleeds
from dicomnode.measure.lesions import measure
from dicomnode.measure.place import Places
from tests.unit.zoo.volumes import volume_from

FIRST_SEED = 9_500_000
"""Seeds of these heads lie where nothing was learned from."""
LEAST_ML, LEAST_SHIFT_MM, NEAR_MM, GROSS_MM = 25.0, 3.0, 1.5, 4.0
Shift = tuple[float, float, float]
"""From the ideal midline, from where the septum lay, and measured, mm; NaN where nothing was measured."""


def shift_of(templates: Path | None, number: int) -> Shift | None:
    """Of the head of a number; None where its midline is straight."""
    seed = FIRST_SEED + number
    rng = np.random.default_rng(seed)
    lesions = draw_lesions("ich", int(rng.integers(35, 90)), float(rng.uniform(0.5, 2.5)), seed)
    if lesions.iph_ml < LEAST_ML:
        return None
    base, scene = painted(seed, lesions, templates if is_warped(number, templates) else None)
    if abs(scene.midline_shift_mm) < LEAST_SHIFT_MM:
        return None
    set_up_pydicom()
    scan = scanned(scene, number, seed)
    volume = volume_from(scan.series)
    places = Places(volume)
    blood = (scan.findings > Finding.NONE) & (scan.findings <= Finding.EPIDURAL)
    head = beside_bleeds(places.head, measure(blood, volume, LIMIT_ML, places)[1])
    shift_mm = None if head is None else head.midline_shift_mm
    return ideal_shift_mm(base, lesions), scene.midline_shift_mm, float("nan") if shift_mm is None else shift_mm


def shifts_of(heads: int, templates: Path | None, processes: int) -> Iterator[Shift]:
    """So many heads with a shift."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        numbers, batch = count(1), 4 * processes
        while True:
            for shift in pool.map(partial(shift_of, templates), islice(numbers, batch)):
                if shift is not None:
                    yield shift


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=60, help="with a shift")
    parser.add_argument("--templates", type=Path, help="folder with a CT template; without it all heads are painted")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    drawn = islice(shifts_of(given.heads, given.templates, given.processes), given.heads)
    shifts = np.array(list(track(drawn, "heads", total=given.heads)))
    seen = int(np.isfinite(shifts[:, 2]).sum())
    print(f"{len(shifts)} heads whose septum was pushed by {LEAST_SHIFT_MM:g} mm and more, measured in {seen}")
    for says, truth in (("from the ideal midline", shifts[:, 0]), ("from where the septum lay", shifts[:, 1])):
        _tell(says, np.abs(truth - shifts[:, 2]))


def _tell(says: str, error: NDArray[np.float64]) -> None:
    known = error[np.isfinite(error)]
    median, high, worst = np.quantile(known, (0.5, 0.9, 1.0))
    near, gross = int((known <= NEAR_MM).sum()), int((known >= GROSS_MM).sum())
    print(f"{says}: error in mm: median {median:.1f}, 90 % {high:.1f}, worst {worst:.1f}")
    print(f"  within {NEAR_MM} mm: {near} of {len(error)}; off by {GROSS_MM:g} mm and more: {gross}")


if __name__ == "__main__":
    main()

"""Midline shift on unseen synthetic heads whose midline is shifted.

``python -m benchmarks.midline --heads 60 --templates FOLDER --processes 2`` draws parenchymal bleeds of 25 mL and more
in heads of the cohort's edition ``BENT`` (every third warped from a CT template where one is given), passes over those
whose septum moved by less than 3 mm, scans the others as the cohort's sites do, and measures.
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
from rich.progress import track

from benchmarks.anatomy import LIMIT_ML, is_warped, painted, scanned
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
Pair = tuple[float, float]
"""Painted and measured shift in mm; NaN where nothing was measured."""


def pair_of(templates: Path | None, number: int) -> Pair | None:
    """Of the head of a number; None where its midline is straight."""
    seed = FIRST_SEED + number
    rng = np.random.default_rng(seed)
    lesions = draw_lesions("ich", int(rng.integers(35, 90)), float(rng.uniform(0.5, 2.5)), seed)
    if lesions.iph_ml < LEAST_ML:
        return None
    _, scene = painted(seed, lesions, templates if is_warped(number, templates) else None)
    if abs(scene.midline_shift_mm) < LEAST_SHIFT_MM:
        return None
    set_up_pydicom()
    scan = scanned(scene, number, seed)
    volume = volume_from(scan.series)
    places = Places(volume)
    blood = (scan.findings > Finding.NONE) & (scan.findings <= Finding.EPIDURAL)
    head = beside_bleeds(places.head, measure(blood, volume, LIMIT_ML, places)[1])
    shift_mm = None if head is None else head.midline_shift_mm
    return scene.midline_shift_mm, float("nan") if shift_mm is None else shift_mm


def pairs_of(heads: int, templates: Path | None, processes: int) -> Iterator[Pair]:
    """So many heads with a shift."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        numbers, batch = count(1), 4 * processes
        while True:
            for pair in pool.map(partial(pair_of, templates), islice(numbers, batch)):
                if pair is not None:
                    yield pair


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=60, help="with a shift")
    parser.add_argument("--templates", type=Path, help="folder with a CT template; without it all heads are painted")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    drawn = islice(pairs_of(given.heads, given.templates, given.processes), given.heads)
    pairs = np.array(list(track(drawn, "heads", total=given.heads)))
    error = np.abs(pairs[:, 0] - pairs[:, 1])
    seen = error[np.isfinite(error)]
    print(f"{len(pairs)} heads with a shift of {LEAST_SHIFT_MM:g} mm and more, measured in {len(seen)}")
    print(f"error in mm: median {np.median(seen):.1f}, 90 % {np.quantile(seen, 0.9):.1f}, worst {seen.max():.1f}")
    near, gross = int((seen <= NEAR_MM).sum()), int((seen >= GROSS_MM).sum())
    print(f"within {NEAR_MM} mm: {near} of {len(pairs)}; off by {GROSS_MM:g} mm and more: {gross}")


if __name__ == "__main__":
    main()

"""Patients a minute of the synthetic cohort on this machine, both scans of each.

    python benchmarks/cohort.py --patients 12 --processes 2

Three ways are measured in both versions, in turn, of arm ``ich`` (the mixed arm holds more normal heads in version 1):
DICOM files of 512 x 512 (32 slices at 5 mm), arrays of 256 x 256, and coarse arrays of 96 x 96 of the first scan alone.
Starting the processes counts. The wanted least figures (two cores): 8 a minute as DICOM, 60 as arrays, 200 coarse ones.
Also says what a head costs alone, and what painting and scanning one injured head cost in both editions (CPU seconds,
medians of ``--repeats``, in turn).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dicomnode.cohort.edition import FIRST, SECOND, Edition, Version
from dicomnode.cohort.head import make_head
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.make import make_cohort
from dicomnode.cohort.patients import Site
from dicomnode.cohort.scanner import draw_protocol, scan_scene
from dicomnode.cohort.scene import make_anatomy, make_scene

DEEP = (26.0, -4.0, 6.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to make patients.

    Attributes
    ----------
    factor : of the number of patients.
    wanted : patients a minute on two cores.
    """

    matrix: int
    formats: tuple[str, ...]
    factor: int
    wanted: float
    followup: bool = True


WAYS = {
    "dicom 512": Way(matrix=512, formats=("dicom",), factor=1, wanted=8.0),
    "array 256": Way(matrix=256, formats=("array",), factor=4, wanted=60.0),
    "coarse, first scan alone": Way(matrix=96, formats=("array",), factor=8, wanted=200.0, followup=False),
}


def patients_a_minute(way: Way, version: Version, patients: int, processes: int) -> float:
    """Measured rate, the files written to a scratch folder."""
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        make_cohort(
            Path(scratch),
            way.factor * patients,
            1,
            progress=False,
            matrix=way.matrix,
            formats=way.formats,
            processes=processes,
            version=version,
            followup=way.followup,
            arm="ich",
        )
        return 60.0 * way.factor * patients / (time.perf_counter() - start)


def seconds_a_step(edition: Edition, matrix: int, seed: int) -> list[float]:
    """CPU seconds of painting the anatomy, painting all bleeds of an injured head, and scanning it as site A does."""
    shown = Lesions(
        sdh_ml=20.0, edh_ml=8.0, sah_ml=5.0, ivh_ml=4.0, iph_ml=20.0, oedema_ml=12.0, heterogeneity=0.4, place_mm=DEEP
    )
    ticks = [time.process_time()]
    base = make_anatomy(seed, shown, spacing_mm=1.2 if matrix > 300 else 1.8, edition=edition)
    ticks.append(time.process_time())
    scene = make_scene(base, shown, edition)
    ticks.append(time.process_time())
    scan_scene(scene, *draw_protocol(Site.A, seed, "baseline", matrix), seed)
    ticks.append(time.process_time())
    return [after - before for before, after in itertools.pairwise(ticks)]


def print_steps(repeats: int) -> None:
    """Both editions in turn, so that what else the machine does changes both alike."""
    for matrix in (256, 512):
        taken: dict[str, list[list[float]]] = {"first": [], "second": []}
        for seed in range(repeats):
            for name, edition in (("first", FIRST), ("second", SECOND)):
                taken[name].append(seconds_a_step(edition, matrix, seed))
        for name, rows in taken.items():
            steps = [round(statistics.median(column), 2) for column in zip(*rows, strict=True)]
            named = dict(zip(("anatomy", "lesions", "scan"), steps, strict=True))
            print(json.dumps({"edition": name, "matrix": matrix, "CPU seconds": named, "in all": round(sum(steps), 2)}))


def main() -> None:
    """Measure and print one line of JSON a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", action="store_true", help="only what the steps cost")
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    print_steps(arguments.repeats)
    if arguments.steps:
        return
    start = time.perf_counter()
    make_head(1, spacing_mm=1.2)
    print(json.dumps({"head at 1.2 mm, seconds": round(time.perf_counter() - start, 2)}))
    for name, way in WAYS.items():
        for version in Version:
            rate = round(patients_a_minute(way, version, arguments.patients, arguments.processes), 1)
            told = {"way": name, "version": version.value, "patients a minute": rate, "wanted": way.wanted}
            print(json.dumps({**told, "load": os.getloadavg()[0]}), flush=True)


if __name__ == "__main__":
    main()

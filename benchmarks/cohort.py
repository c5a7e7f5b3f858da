"""Patients a minute of the synthetic cohort on this machine, both scans of each.

    python benchmarks/cohort.py --patients 12 --processes 2

Two ways are measured: DICOM files of 512 x 512 (32 slices at 5 mm), and arrays of 256 x 256. Starting the processes
counts. The wanted least figures (two cores): 8 a minute as DICOM, 60 as arrays. Also says what a head costs alone.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from dicomnode.cohort.head import make_head
from dicomnode.cohort.make import make_cohort

WAYS = {"dicom 512": (512, ("dicom",), 1, 8.0), "array 256": (256, ("array",), 4, 60.0)}
"""Matrix, formats, factor of the number of patients, wanted patients a minute."""


def patients_a_minute(way: str, patients: int, processes: int) -> float:
    """Measured rate, the files written to a scratch folder."""
    matrix, formats, factor, _ = WAYS[way]
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        make_cohort(
            Path(scratch), factor * patients, 1, progress=False, matrix=matrix, formats=formats, processes=processes
        )
        return 60.0 * factor * patients / (time.perf_counter() - start)


def main() -> None:
    """Measure and print one line of JSON a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    start = time.perf_counter()
    make_head(1, spacing_mm=1.2)
    print(json.dumps({"head at 1.2 mm, seconds": round(time.perf_counter() - start, 2)}))
    for way, (*_, wanted) in WAYS.items():
        rate = patients_a_minute(way, arguments.patients, arguments.processes)
        print(
            json.dumps({"way": way, "patients a minute": round(rate, 1), "wanted": wanted, "load": os.getloadavg()[0]})
        )


if __name__ == "__main__":
    main()

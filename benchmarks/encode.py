"""Seconds to encode SEG, both SRs, text and overview of 40 slices of 512 x 512 on one core; the wanted most is 1.5 s.

    python benchmarks/encode.py --repeats 7
    git worktree add ../before REVISION && python benchmarks/encode.py --against ../before
    python benchmarks/encode.py --profile

Whole calls of ``encode_case``: encoding, writing with fsync, and validation by reading back. A synthetic head with two
bleeds, their true masks as the finding, and a generated score. Each measurement is a fresh process on one core, the
first call of each is warm-up and not counted. ``--against`` measures another checkout in turn with this one and says
whether the bytes of all results are the same. Judged by the processor's seconds: those on the clock tell what else the
machine does.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.dicom_series import write_acquired
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.encode.case import encode_case
from dicomnode.images.volume import read_series
from dicomnode.measure.lesions import measure
from dicomnode.records import Case, MaskFinding, ModelRef, ReferenceScore, ScoreFinding, ScoreInput

REPOSITORY = Path(__file__).resolve().parents[1]
WANTED_S = 1.5
SLICES, SPACING_MM = 40, 3.75
NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
MODEL = ModelRef(
    name="hemorrhage",
    version="1.0.0",
    digest="sha256:" + "ab" * 32,
    title="Small U-Net",
    trained_on="synthetic heads",
    research=True,
)


def make_study(folder: Path) -> None:
    """Write the series, and its true mask in the order of the files."""
    bleeds = (BleedOrder(BleedKind.INTRAPARENCHYMAL, 30.0, 64.0), BleedOrder(BleedKind.INTRAPARENCHYMAL, 4.0, 60.0))
    head = make_head(7, bleeds=bleeds, spacing_mm=1.2)
    positions = tuple(float(z) for z in np.arange(SLICES) * SPACING_MM - 62.0)
    acquired = acquire(head, Acquisition(positions_mm=positions, thickness_mm=SPACING_MM, pixel_mm=0.46), seed=7)
    write_acquired(acquired, folder)
    np.savez_compressed(folder / "mask.npz", mask=acquired.mask)


def case_in(folder: Path) -> Case:
    """The case of a study that :func:`make_study` wrote."""
    series = read_series(sorted(folder.glob("*.dcm")))
    with np.load(folder / "mask.npz") as arrays:
        mask = arrays["mask"][list(series.volume.stack.order)]
    total, lesions, labels = measure(mask, series.volume)
    finding = MaskFinding(
        name="hemorrhage",
        label="Intracranial haemorrhage",
        mask=mask,
        threshold=0.5,
        detection_limit_ml=0.1,
        model=MODEL,
        total=total,
        lesions=lesions,
        lesion_labels=labels,
    )
    score = ScoreFinding(
        name="poor_outcome_90d",
        label="Poor outcome (mRS 4 to 6) at 90 days",
        value=0.42,
        unit="1",
        model=MODEL,
        interval=(0.31, 0.55),
        threshold=0.5,
        reference=(
            ReferenceScore(
                name="ich_score", label="ICH Score", value=2.0, unit="{score}", meaning="30-day mortality 26 %"
            ),
        ),
        inputs=(ScoreInput("Age", "74 years", "header"),),
    )
    digests = series.input_digests
    return Case(
        sources=series.sources,
        identity=series.sources[0],
        volume=series.volume,
        findings=(finding, score),
        input_digests=digests,
        protocol="head",
        settings_digest="settings",
        generation=1,
    )


def encode_repeatedly(folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds of each counted call on one core, by both clocks, and digest and size of each result by kind."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    case, seconds, processor = case_in(folder), [], []
    with tempfile.TemporaryDirectory() as scratch:
        for run in range(repeats + 1):
            start, began = time.perf_counter(), time.process_time()
            results = encode_case(case, Path(scratch) / str(run), NOW)
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - began)
    return {
        "seconds": seconds[1:],
        "processor": processor[1:],
        "results": {item.kind: [item.sha256, item.size_bytes] for item in results},
    }


def measured(checkout: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """:func:`encode_repeatedly` in a fresh process with the package of ``checkout``."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--worker", str(folder), "--repeats", str(repeats)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def compare(checkouts: list[Path], folder: Path, repeats: int, rounds: int) -> int:
    """Measure all checkouts in turn, print figures; 1 where their results differ or this one is too slow."""
    answers = [[measured(checkout, folder, repeats) for checkout in checkouts] for _ in range(rounds)]
    for number, checkout in enumerate(checkouts):
        for clock in ("seconds", "processor"):
            values = [value for answer in answers for value in answer[number][clock]]
            name = f"{'this checkout' if checkout == REPOSITORY else checkout}, {clock}"
            print(
                f"{name:<26} median {statistics.median(values):.2f} s   min {min(values):.2f}   max {max(values):.2f}"
            )
    mine = answers[0][0]["results"]
    print("   ".join(f"{kind} {size / 1024:.0f} KiB" for kind, (_, size) in mine.items()))
    same = all(answer["results"] == mine for row in answers for answer in row)
    print("results byte-identical in every run" if same else "RESULTS DIFFER BETWEEN RUNS")
    median = statistics.median([value for row in answers for value in row[0]["processor"]])
    print(f"goal: at most {WANTED_S} s: {'met' if median <= WANTED_S else 'NOT MET'}")
    return int(not same or median > WANTED_S)


def profile(folder: Path) -> None:
    """Where the time of one warm call goes."""
    case = case_in(folder)
    with tempfile.TemporaryDirectory() as scratch:
        encode_case(case, Path(scratch) / "warm", NOW)
        profiler = cProfile.Profile()
        profiler.runcall(encode_case, case, Path(scratch) / "counted", NOW)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(70)


def main() -> int:
    """Measure and print; exit 1 where the wanted time is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="counted calls in each process")
    parser.add_argument("--rounds", type=int, default=2, help="processes for each checkout, in turn")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn with this one")
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(encode_repeatedly(arguments.worker, arguments.repeats)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "study"
        make_study(folder)
        if arguments.profile:
            profile(folder)
            return 0
        checkouts = [REPOSITORY, *([arguments.against] if arguments.against else [])]
        return compare(checkouts, folder, arguments.repeats, arguments.rounds)


if __name__ == "__main__":
    sys.exit(main())

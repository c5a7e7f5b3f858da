"""Does haemorrhage as the node runs it say what eager float32 says? Dice and AUC over synthetic heads, side by side.

    python -m benchmarks.precision [--heads 60] [--precision auto]

Every second head has a bleed, from 0.5 to 40 mL; the others have none. *Dice* is that of what both ways mark in the
same head; *AUC* that of the probability of the exam which stands in the results, each way against what was painted.
Goal: both within 0.002.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
from rich.progress import track
from sklearn.metrics import roc_auc_score

from benchmarks.segment import painted_head
from dicomnode.measure.outcome import outcomes_of
from dicomnode.records import Inputs, MaskFinding
from dicomnode.zoo.precision import ACCEPTED
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner

SMALLEST_ML, LARGEST_ML = 0.5, 40.0


def main() -> int:
    """Measure and print; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=60)
    parser.add_argument("--precision", default="auto", choices=["auto", "bfloat16"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    runners = [
        Runner(Registry().get("hemorrhage"), threads=options.threads, precision=one)
        for one in ("float32", options.precision)
    ]
    volumes_ml = np.geomspace(SMALLEST_ML, LARGEST_ML, max(1, options.heads // 2))
    dice, exams, truth = [], [], []
    for number in track(range(options.heads), "heads"):
        bleed_ml = float(volumes_ml[number // 2 % len(volumes_ml)]) if number % 2 else 0.0
        inputs = Inputs(volume=painted_head(seed=number, bleed_ml=bleed_ml)[0])
        marked, said = zip(*(asked(runner, inputs) for runner in runners), strict=True)
        if marked[0].any() or marked[1].any():
            dice.append(2.0 * float((marked[0] & marked[1]).sum()) / float(marked[0].sum() + marked[1].sum()))
        exams.append(said)
        truth.append(bleed_ml > 0.0)
    return told(dice, np.array(exams), truth)


def asked(runner: Runner, inputs: Inputs) -> tuple[np.ndarray, float]:
    """The mask, and the probability of the exam."""
    findings = runner.run(inputs)
    (mask,) = (one for one in findings if isinstance(one, MaskFinding))
    return mask.mask, float(outcomes_of(findings)[0].exam_probability or 0.0)


def told(dice: list[float], exams: np.ndarray, truth: list[bool]) -> int:
    """Print; 1 where the goal is missed."""
    middle, least = statistics.median(dice), min(dice)
    before, after = (float(roc_auc_score(truth, exams[:, way])) for way in (0, 1))
    print(f"{len(truth)} heads, {sum(truth)} with blood; marked in {len(dice)}")
    print(f"Dice between both: median {middle:.4f}, least {least:.4f}")
    print(f"probability of the exam: most off {np.abs(exams[:, 0] - exams[:, 1]).max():.4f}")
    print(f"AUC: float32 {before:.4f}, as the node {after:.4f}")
    is_met = 1.0 - middle <= ACCEPTED and abs(before - after) <= ACCEPTED
    print(f"goal: within {ACCEPTED:g}: {'met' if is_met else 'NOT MET'}")
    return int(not is_met)


if __name__ == "__main__":
    raise SystemExit(main())

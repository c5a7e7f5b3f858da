"""The one command behind the shipped weights: cohorts, trainings, figures."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.train.experiment.arms import ARMS, STUDENT, TEACHER, Plan, run_arms
from dicomnode.train.experiment.cohorts import make_cohorts
from dicomnode.train.experiment.ship import install, summarise

EXAMPLES = """
examples:
  python -m dicomnode.train.hemorrhage --out training --anatomy templates --processes 2 --workers 1
  python -m dicomnode.train.hemorrhage --out training --anatomy templates --seeds 2     (another seed beside it)
  python -m dicomnode.train.hemorrhage --out training --anatomy templates --trained-only   (the report so far)
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dicomnode.train.hemorrhage",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Plan()
    parser.add_argument("--out", type=Path, required=True, help="folder; the same call goes on where it stopped")
    parser.add_argument("--anatomy", type=Path, help="folder with a CT template: half of the heads are warped from it")
    parser.add_argument("--seeds", type=int, nargs="+", default=default.seeds, help="of the trainings")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=default.arms, help="to train, teacher first")
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--steps", type=int, default=default.steps, help="of an epoch")
    parser.add_argument("--processes", type=int, default=1, help="that make patients")
    parser.add_argument("--workers", type=int, default=default.workers, help="processes that prepare batches")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--trained-only", action="store_true", help="train nothing; report on what is trained already")
    parser.add_argument("--install", action="store_true", help="copy weights and report to their places in the project")
    given = parser.parse_args()
    if not {TEACHER, STUDENT} <= set(given.arms):
        parser.error("--arms: the report is about a student and its teacher, so both must be among them")
    set_up_pydicom()
    torch.set_num_threads(given.threads)
    manifest = make_cohorts(given.out / "cohorts", given.anatomy, given.processes)
    plan = Plan(
        seeds=tuple(given.seeds), arms=tuple(given.arms), epochs=given.epochs, steps=given.steps, workers=given.workers
    )
    runs = {}
    for seed, arm, results in run_arms(manifest, given.out, plan, trained_only=given.trained_only):
        print(f"seed {seed}, {arm}: {len(results)} test exams", flush=True)
        runs[seed, arm] = results
    if not any(arm == STUDENT for _, arm in runs):
        parser.error(f"--trained-only: {given.out} holds no trained student of these seeds")
    print(summarise(manifest, given.out, plan, runs))
    if given.install:
        install(given.out)


if __name__ == "__main__":
    main()

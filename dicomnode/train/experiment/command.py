"""The one command behind shipped weights: cohorts, trainings, figures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.train.experiment.arms import Plan, run_arms
from dicomnode.train.experiment.cohorts import make_cohorts, with_fewer
from dicomnode.train.experiment.design import Experiment
from dicomnode.train.experiment.ship import install, summarise
from dicomnode.train.manifest import Case

SEEDS = (1, 2, 3)
EXAMPLES = """
examples:
  {program} --out training --anatomy templates --processes 2 --workers 1
  {program} --out training --anatomy templates --seeds 2     (another seed beside it)
  {program} --out training --anatomy templates --trained-only   (the report so far)
"""


def run(experiment: Experiment, program: str) -> None:
    """Command line of an experiment.

    Parameters
    ----------
    program : how it is called, such as ``python -m dicomnode.train.hemorrhage``.
    """
    parser = _parser(experiment, program)
    given = parser.parse_args()
    if not {*experiment.needed} <= {*given.arms}:
        parser.error(f"--arms: the report is about {' and '.join(experiment.needed)}, which must be among them")
    set_up_pydicom()
    torch.set_num_threads(given.threads)
    painted = _on_ground(experiment, given)
    cohorts, parts, matrix = given.out / "cohorts", experiment.parts, experiment.matrix
    manifest = make_cohorts(cohorts, given.anatomy, given.processes, parts, matrix, more=painted)
    if given.exams:
        manifest = with_fewer(manifest, given.exams)
    plan = _plan(experiment, given)
    runs = {}
    for (seed, arm), results in run_arms(manifest, given.out, experiment.arms, plan, trained_only=given.trained_only):
        print(f"seed {seed}, {arm}: {len(results)} test exams", flush=True)
        runs[seed, arm] = results
    if not any(arm.ships and name == arm.name for arm in experiment.arms for _, name in runs):
        parser.error(f"--trained-only: {given.out} holds no training of these seeds that may ship")
    print(summarise(experiment, manifest, given.out, plan, runs))
    if given.install:
        install(experiment, given.out)


def _plan(experiment: Experiment, given: argparse.Namespace) -> Plan:
    settings = experiment.settings
    fit = replace(settings.fit, epochs=given.epochs)
    trained = replace(settings, fit=fit, steps=given.steps, workers=given.workers)
    # a seed without a file of its own begins anew
    return Plan(tuple(given.seeds), tuple(given.arms), trained, dict(zip(given.seeds, given.start, strict=False)))


def _on_ground(experiment: Experiment, given: argparse.Namespace) -> Sequence[Case]:
    if experiment.on_ground is None or given.ground is None:
        return ()
    return experiment.on_ground(given.ground, given.out / "ground", given.processes)


def _parser(experiment: Experiment, program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=__doc__,
        epilog=EXAMPLES.format(program=program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arms, settings = tuple(arm.name for arm in experiment.arms), experiment.settings
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder; the same call goes on where it stopped")
    add("--anatomy", type=Path, help="folder with a CT template: half of the heads are warped from it")
    if experiment.on_ground is not None:
        add("--ground", type=Path, help="folder with a real head CT without the finding, to train on and to paint on")
    add("--start", type=Path, nargs="*", default=(), help="weights to begin with, one file for each seed in turn")
    add("--seeds", type=int, nargs="+", default=SEEDS, help="of the trainings")
    add("--arms", nargs="+", choices=arms, default=arms, help="to train, whom an arm is taught by first")
    add("--exams", type=int, default=0, help="learn from the first so many, to compare arms in less time (all)")
    add("--epochs", type=int, default=settings.fit.epochs)
    add("--steps", type=int, default=settings.steps, help="of an epoch")
    add("--processes", type=int, default=1, help="that make patients")
    add("--workers", type=int, default=settings.workers, help="processes that prepare batches")
    add("--threads", type=int, default=1, help="of torch")
    add("--trained-only", action="store_true", help="train nothing; report on what is trained already")
    add("--install", action="store_true", help="copy weights and report to their places in the project")
    return parser

"""From finished trainings to what ships: which weights, what they are worth, and one report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from dicomnode.errors import TrainingError
from dicomnode.train.calibrate import Corrections, fitted, told
from dicomnode.train.experiment.arms import Plan, Run, Runs, best_runs, folder_of
from dicomnode.train.experiment.design import Experiment, Shipped
from dicomnode.train.experiment.records import LOG, digests, write_log
from dicomnode.train.experiment.report import Summary, write_summary
from dicomnode.train.learner import Learner
from dicomnode.train.manifest import Manifest, Split
from dicomnode.train.report import TRAINING
from dicomnode.train.results import Results
from dicomnode.train.run import BEST, LEFT_OUT, REPORT, read_for

SUMMARY = "summary"
KEPT = ("*.md", "*.json", "*.csv", "*.png")


def summarise(experiment: Experiment, manifest: Path, out: Path, plan: Plan, runs: Runs) -> Path:
    """Score the trainings that ship, as they ship, and write the report of the experiment.

    Returns
    -------
    Path of ``report.md``; the weights and ``training.csv``, the log of every epoch, lie beside it.

    Raises
    ------
    TrainingError : no arm that may ship was trained.
    """
    best = best_runs(out, runs, experiment.arms, experiment.seats)
    if not best:
        raise TrainingError(f"{out} holds no training of an arm that may ship")
    (out / SUMMARY).mkdir(exist_ok=True)
    learner = next(arm for arm in experiment.arms if arm.name == best[0][1]).learner()
    read = read_for(learner, manifest)
    network = experiment.assemble([folder_of(out, run) / BEST for run in best], out / SUMMARY / experiment.weights)
    shipped, corrections = _judged(learner, network, read, out / "cache", plan.settings.progress)
    write_log(out, runs, out / SUMMARY / LOG)
    return write_summary(
        out / SUMMARY,
        Summary(
            experiment=experiment,
            outputs=learner.outputs,
            plan=plan,
            runs=runs,
            synthetic=read.synthetic,
            shipped=best,
            results=shipped.results,
            corrections=corrections,
            tables=experiment.tables(shipped),
            left_out=_left_out(folder_of(out, best[0])),
            digests=digests(out / "cohorts"),
            pictures=_draw(out, best[0], learner, shipped.results, read.synthetic),
        ),
    )


def _judged(
    learner: Learner[Any], network: torch.nn.Module, read: Manifest, cache: Path, progress: bool
) -> tuple[Shipped, Corrections]:
    """The test exams, corrected by the calibration exams where there are any."""

    def samples(split: Split) -> list[Any]:
        return learner.samples(read.of(split), cache, skip_unusable=True, progress=progress)[0]

    apart, tested = samples(Split.CALIBRATION), samples(Split.TEST)
    corrections = fitted(learner.judge(network, apart, progress=progress), learner.outputs) if apart else {}
    results = told(learner.judge(network, tested, progress=progress), learner.outputs, corrections)
    return Shipped(learner, network, tested, results, progress), corrections


def _left_out(folder: Path) -> list[str]:
    sentences = folder / LEFT_OUT
    return sentences.read_text(encoding="utf-8").splitlines() if sentences.exists() else []


def _draw(out: Path, best: Run, learner: Learner[Any], results: Results, synthetic: bool) -> list[str]:
    """Plots of what ships, and the curves of the best training. Returns their names."""
    names = [
        name for output in learner.outputs for name in output.draw(out / SUMMARY, {learner.name: results}, synthetic)
    ]
    shutil.copy(folder_of(out, best) / REPORT / TRAINING, out / SUMMARY / TRAINING)
    return sorted([*names, TRAINING])


def install(experiment: Experiment, out: Path) -> None:
    """Copy weights, report and, where the bundle gives out a probability, its calibration into the project.

    Raises
    ------
    TrainingError : the experiment names no bundle or no folder for its report.
    """
    if experiment.bundle is None or experiment.docs is None:
        raise TrainingError("this experiment has no place in the project to install to")
    shutil.copyfile(out / SUMMARY / experiment.weights, experiment.bundle / "models" / "model.safetensors")
    figures = json.loads((out / SUMMARY / "figures.json").read_text(encoding="utf-8"))
    if experiment.corrected in figures:
        experiment.correct(experiment.bundle, figures[experiment.corrected])
    experiment.docs.mkdir(parents=True, exist_ok=True)
    for kind in KEPT:
        for file in (out / SUMMARY).glob(kind):
            shutil.copyfile(file, experiment.docs / file.name)

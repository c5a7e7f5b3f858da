"""From a finished experiment to the bundle: which students, what they are worth, and their weights as float16."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from dicomnode import zoo
from dicomnode.measure.exam import calibrated
from dicomnode.train.experiment.arms import MODEL, STUDENTS, Plan, folder_of
from dicomnode.train.experiment.report import ExamCalibration, Run, Runs, Summary, spacings_of, write_summary
from dicomnode.train.manifest import Split, read_manifest
from dicomnode.train.plots import dice_plot, labels_and_scores, reliability_plot, roc_plot
from dicomnode.train.results import ExamResult
from dicomnode.train.run import LEFT_OUT
from dicomnode.train.slices.evaluation import score_exams, score_findings
from dicomnode.train.slices.exams import Exam, load_exams
from dicomnode.train.slices.recipes import Recipe, recipe_named
from dicomnode.train.statistics import platt, youden_point
from dicomnode.zoo.calibration import brain_offset_hu
from dicomnode.zoo.hemorrhage.committee import seated

BUNDLE = Path(zoo.__file__).parent / "hemorrhage" / "bundle"
DOCS = Path(__file__).parents[3] / "docs" / "models" / "hemorrhage"
OFFSETS_HU = (-15.0, 0.0, 15.0)
WEIGHTS = "students.safetensors"
SEATS = 2
"""Networks of the bundle's committee."""
TRAINING = "training.png"
LOG = "training.csv"
LOGGED = ("epoch", "loss", "score", "learning_rate")
UNCALIBRATED = ExamCalibration(1.0, 0.0, 0.5)


def best_students(out: Path, runs: Runs) -> list[Run]:
    """Seed and arm of those that ship, best validation score first and of different seeds; test exams have no say."""

    def score(run: Run) -> float:
        return max(float(entry["score"]) for entry in _history(out, run))

    best_of_seed: dict[int, Run] = {}
    for run in sorted((run for run in runs if run[1] in STUDENTS), key=score, reverse=True):
        best_of_seed.setdefault(run[0], run)
    return list(best_of_seed.values())[:SEATS]


def _folder(out: Path, run: Run) -> Path:
    seed, arm = run
    return folder_of(out, arm, seed)


def _history(out: Path, run: Run) -> list[dict[str, float]]:
    report = json.loads((_folder(out, run) / "report" / "report.json").read_text(encoding="utf-8"))
    return list(report["history"])


def write_log(out: Path, runs: Iterable[Run], target: Path) -> None:
    """Write a CSV file with loss, validation score and learning rate of every epoch of every training."""
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("seed", "arm", *LOGGED))
        for seed, arm in runs:
            for entry in _history(out, (seed, arm)):
                writer.writerow((seed, arm, *(f"{entry[name]:.5g}" for name in LOGGED)))


def committee_weights(members: Sequence[Path], target: Path) -> Path:
    """Write the weights of a committee as float16; a single member takes every seat. Returns ``target``."""
    states = [load_file(member) for member in islice(cycle(members), SEATS)]
    state = {name: value.half() if value.is_floating_point() else value for name, value in seated(states).items()}
    save_file({name: value.contiguous() for name, value in state.items()}, target)
    return target


def summarise(manifest: Path, out: Path, plan: Plan, runs: Runs) -> Path:
    """Score the students that ship, as they ship (together, float16 weights), and write the report of the experiment.

    Returns
    -------
    Path of ``report.md``; ``students.safetensors`` and ``training.csv``, the log of every epoch, lie beside it.
    """
    recipe, best = recipe_named(MODEL), best_students(out, runs)
    trained = [_folder(out, run) for run in best]
    summary = out / "summary"
    summary.mkdir(exist_ok=True)
    weights = committee_weights([folder / "best.safetensors" for folder in trained], summary / WEIGHTS)
    network = recipe.bundled()
    network.load_state_dict(load_file(weights))
    read, cache = read_manifest(manifest), out / "cache"
    calibration, _ = load_exams(read.of(Split.CALIBRATION), recipe.planes, cache, skip_unusable=True, progress=False)
    exam = exam_calibration(score_exams(recipe, network, calibration, progress=plan.progress))
    exams, left_out = load_exams(read.of(Split.TEST), recipe.planes, cache, skip_unusable=True, progress=plan.progress)
    findings = score_findings(recipe, network, exams, recipe.planes.findings, progress=plan.progress)
    offsets = {hu: _shifted(recipe, network, exams, hu, plan) for hu in OFFSETS_HU if hu} | {0.0: findings[MODEL]}
    write_log(out, runs, summary / LOG)
    pictures = _draw(summary, findings[MODEL], exam, trained[0] / "report" / TRAINING)
    skipped = (trained[0] / LEFT_OUT).read_text(encoding="utf-8").splitlines() if left_out else []
    return write_summary(
        summary,
        Summary(
            plan=plan,
            runs=runs,
            shipped=best,
            exam=exam,
            findings=findings,
            offsets=dict(sorted(offsets.items())),
            spacings_mm=spacings_of(exams),
            left_out=skipped,
            digests=digests(out),
            pictures=pictures,
        ),
    )


def _draw(summary: Path, results: Sequence[ExamResult], exam: ExamCalibration, training: Path) -> list[str]:
    """Plots of what ships, and the curves of the best student's training. Returns their names."""
    told = [replace(result, score=calibrated(result.score, exam.slope, exam.intercept)) for result in results]
    dice_plot(summary / "dice_over_volume.png", {MODEL: results}, synthetic=True)
    reliability_plot(
        summary / "reliability.png", {"exam score": results, "exam probability, calibrated": told}, synthetic=True
    )
    roc_plot(summary / "roc.png", {MODEL: results}, synthetic=True)
    shutil.copy(training, summary / TRAINING)
    return ["dice_over_volume.png", "reliability.png", "roc.png", TRAINING]


def _shifted(
    recipe: Recipe, network: torch.nn.Module, exams: Sequence[Exam], offset_hu: float, plan: Plan
) -> list[ExamResult]:
    """Results where every scanner is off by ``offset_hu``, and the exam is read with that error."""
    moved = [replace(exam, hu=_read_again(exam.hu + np.int16(offset_hu), recipe)) for exam in exams]
    return score_exams(recipe, network, moved, progress=plan.progress)


def _read_again(hu: NDArray[np.int16], recipe: Recipe) -> NDArray[np.int16]:
    reference_hu = recipe.planes.reference_hu
    offset_hu = 0.0 if reference_hu is None else brain_offset_hu(hu, reference_hu)
    return np.asarray(np.rint(hu - offset_hu), np.int16)


def digests(out: Path) -> dict[str, str]:
    """Cohort -> digest of all that it holds."""
    files = sorted((out / "cohorts").glob("*/cohort.json"))
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8"))["digest"] for file in files}


def exam_calibration(results: Sequence[ExamResult]) -> ExamCalibration:
    """How scores become probabilities, and the threshold by Youden in steps of 0.01; both from exams set apart for it.

    Exams that are all positive, or all negative, can tell neither, nor can scores that do not rise with the truth:
    they stay as they are.
    """
    labels, scores = labels_and_scores(results)
    if len(set(labels)) < 2:
        return UNCALIBRATED
    slope, intercept = (round(value, 3) for value in platt(labels, scores))
    if not slope > 0.0:  # NaN where all scores are alike
        return UNCALIBRATED
    probabilities = [calibrated(score, slope, intercept) for score in scores]
    threshold = np.clip(round(youden_point(labels, probabilities).threshold, 2), 0.05, 0.95)
    return ExamCalibration(slope, intercept, float(threshold))


def install(out: Path) -> None:
    """Copy weights, report and, where the bundle gives out an exam probability, its calibration into the project."""
    shutil.copyfile(out / "summary" / WEIGHTS, BUNDLE / "models" / "model.safetensors")
    exam = json.loads((out / "summary" / "figures.json").read_text(encoding="utf-8"))["exam"]
    metadata = BUNDLE / "configs" / "metadata.json"
    text = metadata.read_text(encoding="utf-8")
    for name, value in exam.items():
        text = re.sub(rf'("exam_{name}": )[-\d.]+', rf"\g<1>{value:g}", text)
    metadata.write_text(text, encoding="utf-8")
    DOCS.mkdir(parents=True, exist_ok=True)
    for kind in ("*.md", "*.json", "*.csv", "*.png"):
        for file in (out / "summary").glob(kind):
            shutil.copyfile(file, DOCS / file.name)

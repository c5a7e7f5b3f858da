"""What the commands ``train`` and ``evaluate`` do: manifest in, weights and one report folder out, for any learner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from dicomnode.errors import ManifestError
from dicomnode.train.calibrate import CALIBRATION, fitted, read_calibration, told, told_out_of_fold, write_calibration
from dicomnode.train.checkpoint import begin_with, save_weights
from dicomnode.train.engine import Task, fit
from dicomnode.train.learner import Learner, S
from dicomnode.train.manifest import Case, Manifest, Split, read_manifest
from dicomnode.train.report import About, History, write_report
from dicomnode.train.results import Results, joined, read_results
from dicomnode.train.settings import TrainSettings
from dicomnode.train.splits import draw_splits, folds_of

Parts = Mapping[Split, Sequence[Case]]

BEST = "best.safetensors"
REPORT = "report"
LEFT_OUT = "left-out.txt"
"""Names the exams that were not used, and why."""
FITTED = (Split.TRAIN, Split.VALIDATION, Split.TEST)
"""What a training must have; ``CALIBRATION`` is read where there is any, ``UNLABELLED`` where it is learned from."""
FOLD_SHARES = {Split.TRAIN: 0.85, Split.VALIDATION: 0.15}


def train_model(manifest: Path, out: Path, learner: Learner[S], settings: TrainSettings) -> Path:
    """Train, score the test exams (of every fold, out of fold) and write the report.

    Returns
    -------
    Path of ``report.md``; weights are ``out/best.safetensors``, or ``out/fold-K/best.safetensors``, and
    ``out/calibration.json`` says how what they give is corrected.

    Raises
    ------
    ManifestError : the manifest or its exams are at fault, all faults listed.
    ConfigError : the model has no use for a setting.
    TrainingError : the training cannot go on.
    """
    read = read_for(learner, manifest)
    # a cache beside the folds is shared by them
    cached = replace(settings, cache=settings.cache or out / "cache")
    history: History = ()
    if settings.folds:
        results = _cross_validate(learner, read, out, cached)
    else:
        drawn = draw_splits(read, settings.fit.seed, _stratify_by(read, learner))
        results, history = _train_once(learner, {split: drawn.of(split) for split in Split}, out, cached)
    what = f"{settings.folds}-fold cross-validation" if settings.folds else "test split"
    shaped = {"model": learner.name, **asdict(settings), **learner.settings()}
    about = _about("training", learner, read, f"{manifest.name}, {what}", settings.fit.seed, shaped)
    return write_report(out / REPORT, about, results, learner.outputs, history)


def evaluate_model(
    manifest: Path,
    weights: Path,
    out: Path,
    learner: Learner[S],
    *,
    split: Split | None = Split.TEST,
    compare: Path | None = None,
    calibration: Path | None = None,
    seed: int = 1,
    skip_unusable: bool = False,
    progress: bool = True,
) -> Path:
    """Score exams with given weights and write the report.

    Parameters
    ----------
    weights : of a training, or those of a bundle that the node runs.
    split : None scores all exams.
    compare : ``results.csv`` of another model's report; both are compared on the exams they share.
    calibration : ``calibration.json`` of a training; what the weights give is then told as it corrects it, too.

    Returns
    -------
    Path of ``report.md``.

    Raises
    ------
    ManifestError : the manifest, its exams or the other results are at fault.
    TrainingError : the weights or the calibration do not fit the model.
    """
    read = read_for(learner, manifest)
    cases = read.cases if split is None else read.of(split)
    if not cases:
        raise ManifestError([f"{manifest.name}: no exam in split {split}"])
    other = (compare.parent.parent.name or "other", read_results(compare)) if compare else None
    corrections = read_calibration(calibration, learner.outputs) if calibration else {}
    network = learner.trained(weights)
    samples, left_out = learner.samples(cases, out / "cache", skip_unusable=skip_unusable, progress=progress)
    _note_left_out(out, left_out)
    results = told(learner.judge(network, samples, progress=progress), learner.outputs, corrections)
    data = f"{manifest.name}, {f'split {split}' if split else 'all exams'}"
    return write_report(
        out, _about("evaluation", learner, read, data, seed, learner.settings()), results, learner.outputs, other=other
    )


def read_for(learner: Learner[S], manifest: Path) -> Manifest:
    """Read a manifest and check that every exam has what a learner needs.

    Raises
    ------
    ManifestError : all faults listed.
    """
    read = read_manifest(manifest, learner.needs.label_ranges)
    faults = learner.needs.faults(read.cases)
    if faults:
        raise ManifestError([f"{manifest.name}: {fault}, which {learner.name} needs" for fault in faults])
    return read


def history_of(folder: Path) -> list[dict[str, float]]:
    """Loss, validation score and learning rate of each epoch of the training in a folder.

    Raises
    ------
    ManifestError : its report is absent or damaged.
    """
    path = folder / REPORT / "report.json"
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["history"])
    except (OSError, ValueError, KeyError) as error:
        raise ManifestError([f"{path}: no report of a training: {error}"]) from error


def _about(what: str, learner: Learner[S], read: Manifest, data: str, seed: int, shaped: Mapping[str, object]) -> About:
    return About(
        title=f"{learner.name}: {what}",
        model=learner.name,
        data=data,
        synthetic=read.synthetic,
        seed=seed,
        settings=shaped,
    )


def _stratify_by(read: Manifest, learner: Learner[S]) -> str | None:
    return learner.stratify_by if any(learner.stratify_by in case.labels for case in read.cases) else None


def _cross_validate(learner: Learner[S], read: Manifest, out: Path, settings: TrainSettings) -> Results:
    """Out-of-fold results of every exam that is not unlabelled; the splits of the manifest are passed over."""
    label = _stratify_by(read, learner)
    labelled = [case for case in read.cases if case.split is not Split.UNLABELLED]
    results = []
    for fold in folds_of(labelled, settings.fit.seed, label, settings.folds):
        inner = Manifest(read.path, tuple(replace(case, split=None) for case in fold.train))
        drawn = draw_splits(inner, settings.fit.seed, label, FOLD_SHARES)
        parts = {split: drawn.of(split) for split in FOLD_SHARES}
        parts |= {Split.TEST: fold.test, Split.UNLABELLED: read.of(Split.UNLABELLED), Split.CALIBRATION: ()}
        results.append(_train_once(learner, parts, out / f"fold-{fold.index + 1}", settings)[0])
    write_calibration(out / CALIBRATION, fitted(joined(results), learner.outputs))
    return joined(told_out_of_fold(results, learner.outputs))


def _train_once(learner: Learner[S], parts: Parts, out: Path, settings: TrainSettings) -> tuple[Results, History]:
    missing = [split.value for split in FITTED if not parts[split]]
    if missing:
        raise ManifestError([f"no exam in split {name}" for name in missing])
    samples = _load(learner, parts, out, settings)
    torch.manual_seed(settings.fit.seed)
    network = learner.network(samples[Split.TRAIN])
    if settings.start is not None:
        begin_with(network, settings.start)
    if settings.teacher is not None:
        samples[Split.UNLABELLED] = learner.taught(network, samples[Split.UNLABELLED], settings)
    history = _fitted(learner, network, samples, out, settings)
    if learner.finished(network, samples[Split.TRAIN], settings) or not settings.fit.epochs:
        save_weights(network.state_dict(), out / BEST)
    results = learner.judge(network, samples[Split.TEST], progress=settings.progress)
    if samples[Split.CALIBRATION]:
        apart = learner.judge(network, samples[Split.CALIBRATION], progress=settings.progress)
        corrections = fitted(apart, learner.outputs)
        write_calibration(out / CALIBRATION, corrections)
        results = told(results, learner.outputs, corrections)
    return results, history


def _fitted(
    learner: Learner[S],
    network: torch.nn.Module,
    samples: Mapping[Split, Sequence[S]],
    out: Path,
    settings: TrainSettings,
) -> History:
    """Every epoch; without any the network stays as it began."""
    if not settings.fit.epochs:
        out.mkdir(parents=True, exist_ok=True)
        return ()
    return fit(_task(learner, network, samples, settings), settings.fit, out, progress=settings.progress).history


def _task(
    learner: Learner[S], network: torch.nn.Module, samples: Mapping[Split, Sequence[S]], settings: TrainSettings
) -> Task:
    batches = learner.batches(samples, settings)
    return Task(
        network=network,
        loss=learner.loss,
        batches=batches,
        steps=batches.steps,
        validate=lambda net: learner.validate(net, samples[Split.VALIDATION], bfloat16=settings.fit.bfloat16()),
        inputs=learner.inputs,
    )


def _note_left_out(out: Path, sentences: Sequence[str]) -> None:
    """What was not used is said, in a file beside the weights."""
    if sentences:
        out.mkdir(parents=True, exist_ok=True)
        (out / LEFT_OUT).write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")


def _load(learner: Learner[S], parts: Parts, out: Path, settings: TrainSettings) -> dict[Split, Sequence[S]]:
    """Samples of every split; the faults of all splits are listed together."""
    more = [Split.UNLABELLED] if settings.teacher or learner.unlabelled else []
    wanted = (*FITTED, Split.CALIBRATION, *more)
    cases = [case for split in wanted for case in parts[split]]
    samples, left_out = learner.samples(
        cases, settings.cache or out / "cache", skip_unusable=settings.skip_unusable, progress=settings.progress
    )
    _note_left_out(out, left_out)
    owner = {case.id: split for split in wanted for case in parts[split]}
    return {split: [one for one in samples if owner[one.case.id] is split] for split in Split}

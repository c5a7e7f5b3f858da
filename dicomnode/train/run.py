"""What the commands ``train`` and ``evaluate`` do: manifest in, weights and one report folder out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from rich.progress import track

from dicomnode.errors import ManifestError
from dicomnode.train.checkpoint import load_weights_file, weight_names
from dicomnode.train.engine import FitSettings, Fitted, Task, fit
from dicomnode.train.manifest import Case, Manifest, Split, read_manifest
from dicomnode.train.report import About, write_report
from dicomnode.train.results import ExamResult, read_results
from dicomnode.train.slices.data import SliceBatches, Source, pseudo_exam
from dicomnode.train.slices.evaluation import pooled_dice, predict, ranking_scores, score_exams
from dicomnode.train.slices.exams import Exam, load_exams
from dicomnode.train.slices.noisy_student import (
    RANKED_SHARE,
    below_rank_ignored,
    pseudo_labels,
    rank_images,
    set_dropout,
    set_stochastic_depth,
)
from dicomnode.train.slices.recipes import Recipe, member_of, recipe_named, segmentation_loss
from dicomnode.train.splits import draw_splits, folds_of

Parts = dict[Split, Sequence[Case]]

LEFT_OUT = "left-out.txt"
"""Names the exams that were not used, and why."""
FITTED = (Split.TRAIN, Split.VALIDATION, Split.TEST)
"""What a training reads; a student reads ``UNLABELLED`` too."""
FOLD_SHARES = {Split.TRAIN: 0.85, Split.VALIDATION: 0.15}
STUDENT_DROPOUT = 0.2
STUDENT_DEPTH = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """One call of ``dicomnode train``.

    Attributes
    ----------
    steps : batches of an epoch.
    ranked_share : of all unlabelled slices, those highest by the teacher's score that may become positive; 1 switches
        the ranker off.
    folds : 0 trains once on the manifest's splits; 5 is five-fold cross-validation by patient.
    teacher : weights, of a training or of the bundle; the exams of the split ``unlabelled`` then get pseudo-labels from
        it, and the student starts from it, from the first of several networks.
    cache : folder for read exams that several trainings share; None keeps them beside the weights.
    """

    model: str
    fit: FitSettings = field(default_factory=FitSettings)
    steps: int = 100
    batch: int = 16
    folds: int = 0
    teacher: Path | None = None
    ranked_share: float = RANKED_SHARE
    workers: int = 0
    cache: Path | None = None
    skip_unusable: bool = False
    progress: bool = True


def train_model(manifest: Path, out: Path, settings: TrainSettings) -> Path:
    """Train, score the test exams (of every fold, out of fold) and write the report.

    Returns
    -------
    Path of ``report.md``; weights are ``out/best.safetensors``, or ``out/fold-K/best.safetensors``.

    Raises
    ------
    ManifestError : the manifest or its exams are at fault, all faults listed.
    ConfigError : there is no such model.
    TrainingError : the training cannot go on.
    """
    recipe = recipe_named(settings.model)
    read = read_manifest(manifest)
    # a cache beside the folds is shared by them
    cache = settings.cache or out / "cache"
    if settings.folds:
        results, history = _cross_validate(recipe, read, out, cache, settings)
    else:
        drawn = draw_splits(read, settings.fit.seed, _stratify_by(read, recipe))
        parts: Parts = {split: drawn.of(split) for split in Split}
        results, history = _train_once(recipe, parts, out, cache, settings)
    what = f"{settings.folds}-fold cross-validation" if settings.folds else "test split"
    about = _about(recipe, read, settings.fit.seed, f"{manifest.name}, {what}", settings)
    return write_report(out / "report", about, results, history)


def evaluate_model(
    model: str,
    manifest: Path,
    weights: Path,
    out: Path,
    *,
    split: Split | None = Split.TEST,
    compare: Path | None = None,
    seed: int = 1,
    skip_unusable: bool = False,
    progress: bool = True,
) -> Path:
    """Score exams with given weights and write the report.

    Parameters
    ----------
    weights : of a training, or those of the bundle that the node runs.
    split : None scores all exams.
    compare : ``results.csv`` of another model's report; both are compared on the exams they share.

    Returns
    -------
    Path of ``report.md``.

    Raises
    ------
    ManifestError : the manifest, its exams or the other results are at fault.
    TrainingError : the weights do not fit the model.
    """
    recipe, read = recipe_named(model), read_manifest(manifest)
    cases = read.cases if split is None else read.of(split)
    if not cases:
        raise ManifestError([f"{manifest.name}: no exam in split {split}"])
    other = (compare.parent.parent.name or "other", read_results(compare)) if compare else None
    network = _trained_network(recipe, weights)
    exams, left_out = load_exams(cases, recipe.planes, out / "cache", skip_unusable=skip_unusable, progress=progress)
    _note_left_out(out, left_out)
    results = score_exams(recipe, network, exams, progress=progress)
    about = _about(recipe, read, seed, f"{manifest.name}, {f'split {split}' if split else 'all exams'}", None)
    return write_report(out, about, results, other=other)


def _trained_network(recipe: Recipe, weights: Path) -> torch.nn.Module:
    """The network whose weights a file holds, with these weights: the node's, else that of a training."""
    bundled = recipe.bundled()
    network = bundled if weight_names(weights) == set(bundled.state_dict()) else recipe.build()
    load_weights_file(network, weights)
    return network


def _about(recipe: Recipe, read: Manifest, seed: int, data: str, settings: TrainSettings | None) -> About:
    title = f"{recipe.name}: {'training' if settings else 'evaluation'}"
    return About(
        title=title,
        model=recipe.name,
        data=data,
        synthetic=read.synthetic,
        seed=seed,
        settings=asdict(settings) if settings else {},
    )


def _stratify_by(read: Manifest, recipe: Recipe) -> str | None:
    return recipe.finding if any(recipe.finding in case.labels for case in read.cases) else None


def _cross_validate(
    recipe: Recipe, read: Manifest, out: Path, cache: Path, settings: TrainSettings
) -> tuple[list[ExamResult], tuple[dict[str, float], ...]]:
    """Out-of-fold results of every exam that is not unlabelled; the splits of the manifest are passed over."""
    label = _stratify_by(read, recipe)
    labelled = [case for case in read.cases if case.split is not Split.UNLABELLED]
    results: list[ExamResult] = []
    for fold in folds_of(labelled, settings.fit.seed, label, settings.folds):
        inner = Manifest(read.path, tuple(replace(case, split=None) for case in fold.train))
        drawn = draw_splits(inner, settings.fit.seed, label, FOLD_SHARES)
        parts: Parts = {split: drawn.of(split) for split in FOLD_SHARES}
        parts[Split.TEST], parts[Split.UNLABELLED] = fold.test, read.of(Split.UNLABELLED)
        found, _ = _train_once(recipe, parts, out / f"fold-{fold.index + 1}", cache, settings)
        results += found
    return results, ()


def _train_once(
    recipe: Recipe, parts: Parts, out: Path, cache: Path, settings: TrainSettings
) -> tuple[list[ExamResult], tuple[dict[str, float], ...]]:
    missing = [split.value for split in FITTED if not parts[split]]
    if missing:
        raise ManifestError([f"no exam in split {name}" for name in missing])
    exams = _load(recipe, parts, out, cache, settings)
    torch.manual_seed(settings.fit.seed)
    network = recipe.build()
    pseudo = None
    if settings.teacher is not None:
        pseudo = _start_student(recipe, network, exams[Split.UNLABELLED], settings)
    fitted = _fit(recipe, network, exams, pseudo, out, settings)
    return score_exams(recipe, network, exams[Split.TEST], progress=settings.progress), fitted.history


def _note_left_out(out: Path, sentences: Sequence[str]) -> None:
    """What was not used is said, in a file beside the weights."""
    if sentences:
        out.mkdir(parents=True, exist_ok=True)
        (out / LEFT_OUT).write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")


def _load(recipe: Recipe, parts: Parts, out: Path, cache: Path, settings: TrainSettings) -> dict[Split, list[Exam]]:
    """Exams of every split; the faults of all splits are listed together."""
    wanted = (*FITTED, Split.UNLABELLED) if settings.teacher else FITTED
    cases = [case for split in wanted for case in parts[split]]
    exams, left_out = load_exams(
        cases, recipe.planes, cache, skip_unusable=settings.skip_unusable, progress=settings.progress
    )
    _note_left_out(out, left_out)
    owner = {case.id: split for split in wanted for case in parts[split]}
    return {split: [exam for exam in exams if owner[exam.case.id] is split] for split in wanted}


def _start_student(
    recipe: Recipe, network: torch.nn.Module, unlabelled: Sequence[Exam], settings: TrainSettings
) -> Source:
    """Label the unlabelled exams with the teacher, load it into the network, then turn the student's noise on."""
    assert settings.teacher is not None
    if not unlabelled:
        raise ManifestError(["a teacher was given, but no exam stands in split unlabelled"])
    teacher = _trained_network(recipe, settings.teacher)
    teacher.to(settings.fit.torch_device()).eval()
    pseudo = pseudo_labelled(
        recipe,
        teacher,
        unlabelled,
        settings.ranked_share,
        bfloat16=settings.fit.bfloat16(),
        progress=settings.progress,
    )
    network.load_state_dict(member_of(teacher).state_dict())
    set_dropout(network, STUDENT_DROPOUT)
    set_stochastic_depth(network, STUDENT_DEPTH)
    return Source.of(pseudo)


def pseudo_labelled(
    recipe: Recipe,
    network: torch.nn.Module,
    exams: Sequence[Exam],
    share: float = RANKED_SHARE,
    *,
    bfloat16: bool = False,
    progress: bool = True,
) -> list[Exam]:
    """Exams with the teacher's targets; slices are ranked over all of them together."""
    targets, scores = [], []
    for exam in track(exams, description="pseudo-labels", disable=not progress):
        pixels, slices = predict(recipe, network, exam, bfloat16=bfloat16)
        scores.append(ranking_scores(recipe, pixels, slices))
        # kept as small whole numbers: the probabilities of a large corpus would not fit into memory
        every = torch.ones(len(scores[-1]), dtype=torch.bool)
        targets.append(pseudo_labels(pixels.transpose(0, 1), every).to(torch.int8))
    ranked = torch.from_numpy(rank_images(torch.cat(scores).numpy(), share))
    per_exam = torch.split(ranked, [len(part) for part in scores])
    return [
        pseudo_exam(exam, below_rank_ignored(target, positive))
        for exam, target, positive in zip(exams, targets, per_exam, strict=True)
    ]


def _fit(
    recipe: Recipe,
    network: torch.nn.Module,
    exams: dict[Split, list[Exam]],
    pseudo: Source | None,
    out: Path,
    settings: TrainSettings,
) -> Fitted:
    labelled = Source.of(exams[Split.TRAIN], exams_evenly=True)
    if not labelled.positive:
        raise ManifestError([f"no training exam has a voxel of {recipe.finding} in its mask"])
    batches = SliceBatches(
        recipe=recipe,
        labelled=labelled,
        steps=settings.steps,
        batch=settings.batch,
        seed=settings.fit.seed,
        pseudo=pseudo,
        workers=settings.workers,
    )
    task = Task(
        network=network,
        loss=lambda output, batch: segmentation_loss(output, batch["truth"]),
        batches=batches,
        steps=settings.steps,
        validate=lambda net: pooled_dice(recipe, net, exams[Split.VALIDATION], bfloat16=settings.fit.bfloat16()),
    )
    return fit(task, settings.fit, out, progress=settings.progress)

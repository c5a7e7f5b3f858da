"""The trainings behind the shipped weights: reader of texts, arms, folds, logistic regression."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dicomnode.cohort.second.words.indication import write_indication
from dicomnode.train.edema.learner import bundled as shipped_edema
from dicomnode.train.engine import BEST, FitSettings
from dicomnode.train.experiment.arms import Arm as Run
from dicomnode.train.experiment.arms import Plan, Runs, run_arms
from dicomnode.train.fused.running import members_of, said, say, with_epochs
from dicomnode.train.head_reader.features import OfHeads
from dicomnode.train.prognosis import reader
from dicomnode.train.prognosis.learner import Arm, PrognosisLearner
from dicomnode.train.prognosis.measured import measured
from dicomnode.train.prognosis.patients import (
    READER_SEED,
    errors_of,
    groups_of,
    made,
    patient_of,
    variables_of,
    write_manifests,
)
from dicomnode.train.prognosis.reader import STATES, SYMPTOMS, AsRead
from dicomnode.train.results import Results, read_results
from dicomnode.train.run import REPORT, train_model
from dicomnode.train.settings import TrainSettings
from dicomnode.zoo.prognosis.bleed import Bleed
from dicomnode.zoo.prognosis.fusion import Channels, Way
from dicomnode.zoo.prognosis.text import text_of

HEADS, UNSEEN, RECORDS, UNSEEN_RECORDS, TEXTS, COMPARED = 240, 160, 30_000, 8000, 12_000, 4000
"""Painted heads; unseen ones; records; unseen ones of each site; texts for the reader of texts; records that the arms
learn from, and unseen ones of each site that they are asked about: they are compared with each other."""
SEEDS = (1, 2, 3)
FUSED, IMAGE, RECORD, CE = "fused", "image", "record and request", "cross-entropy alone"
FIT = FitSettings(
    epochs=8, learning_rate=3e-3, weight_decay=0.02, patience=0, device="cpu", mixed_precision=False, averaging=0.98
)
TRAINING = TrainSettings(fit=FIT, batch=128, progress=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """All that was trained.

    Attributes
    ----------
    out : folder of all. reader : weights of the reader. learner : that of the arm that ships.
    runs : results on the unseen by seed and arm. compared : records that these learned from.
    folds : folder of the cross-validation, of ``count`` folds.
    """

    out: Path
    manifests: Mapping[str, Path]
    reader: Path
    learner: PrognosisLearner
    runs: Runs
    compared: int
    folds: Path
    count: int
    out_of_fold: Results

    @property
    def members(self) -> list[Path]:
        """Weights of the folds."""
        return members_of(self.folds, self.count)


def train_all(given: argparse.Namespace) -> Trained:
    """Train what is not there yet.

    Raises
    ------
    ManifestError, TrainingError : a training cannot go on.
    """
    out: Path = given.out
    heads, cache = shipped_heads(), out / "features"
    settings = replace(with_epochs(TRAINING, given.epochs), cache=cache)
    manifests = _manifests(given, heads, cache)
    say("heads and records are made")
    weights = _reader(out / "reader", given.texts)
    say("the reader is trained")
    runs_of = arms_of(weights, heads)
    results = out / "folds" / REPORT / "results.csv"
    if not results.exists():
        train_model(manifests["folds"], out / "folds", runs_of[0].learner(), replace(settings, folds=given.folds))
    say(f"{given.folds} folds are trained")
    plan = Plan(tuple(given.seeds), tuple(given.arms or [one.name for one in runs_of]), settings)
    trained = run_arms(manifests["compared"], out / "arms", runs_of, plan, trained_only=given.trained_only)
    return Trained(
        out=out,
        manifests=manifests,
        reader=weights,
        learner=learner_of(weights, heads),
        runs=dict(said(trained)),
        compared=given.compared,
        folds=out / "folds",
        count=given.folds,
        out_of_fold=read_results(results),
    )


def _manifests(given: argparse.Namespace, heads: OfHeads, cache: Path) -> Mapping[str, Path]:
    """``whole``: all exams; ``folds``: what is learned from, without splits; ``compared``: what the arms learn from."""
    groups = groups_of(given.heads, given.unseen[0], given.records, given.unseen[1])
    folder: Path = given.out / "heads"
    made(folder, given.heads + given.unseen[0], given.processes)
    errors = errors_of(folder, groups[0], heads, cache)
    fewer = [group if group.painted else replace(group, count=min(group.count, given.compared)) for group in groups]
    paths = write_manifests(folder, groups, errors)
    return {**paths, "compared": write_manifests(folder, fewer, errors)["whole"]}


def _reader(folder: Path, texts: int) -> Path:
    """The reader, trained on texts of patients of its own, of whom half have no measured bleed in the template."""
    if not (folder / BEST).exists():
        group = replace(groups_of(0, 0, texts, 0)[2], seed=READER_SEED)
        people = [patient_of(group, number) for number in group.numbers]
        written = [
            text_of(variables_of(one), measured(one) if place % 2 and one.lesions.site_of_bleed else Bleed(), words)
            for place, one in enumerate(people)
            for words in (write_indication(one),)
        ]
        states = torch.tensor([[STATES.index(one.mentions[name]) for name in SYMPTOMS] for one in people])
        reader.trained_reader(folder, written, states, reader.SETTINGS)
    return folder / BEST


def learner_of(weights: Path, heads: OfHeads) -> PrognosisLearner:
    """The learner by the weights of a reader of texts, with a reader of heads.

    Raises
    ------
    TrainingError : weights do not fit.
    """
    return PrognosisLearner(heads, AsRead(*reader.load_reader(weights)))


def shipped_heads() -> OfHeads:
    """The reader of heads of the shipped model of oedema."""
    return shipped_edema().heads


def arms_of(weights: Path, heads: OfHeads) -> Sequence[Run]:
    """The arms; the first is the one that ships. All share the readers of heads and of texts, and what was read."""
    texts = AsRead(*reader.load_reader(weights))
    arms = {
        FUSED: Arm(),
        IMAGE: Arm(channels=Channels.IMAGE),
        RECORD: Arm(channels=Channels.RECORD),
        CE: Arm(imima=False, sdm=False),
        "CE and IMIMA": Arm(sdm=False),
        "CE and SDM": Arm(imima=False),
        **{f"fusion {way}": Arm(way=way) for way in Way if way is not Way.CROSS_SELF},
    }
    return [
        Run(name, lambda arm=arm: PrognosisLearner(heads, texts, arm), ships=name == FUSED)  # type: ignore[misc]
        for name, arm in arms.items()
    ]

"""The trainings behind the shipped weights: reader, arms from several seeds, few patients, five folds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnode.train.deterioration.encoder import AsEncoded
from dicomnode.train.deterioration.learner import DeteriorationLearner
from dicomnode.train.deterioration.patients import write_manifests
from dicomnode.train.deterioration.reading import SETTINGS, load_reader, trained_reader
from dicomnode.train.deterioration.texts import AsRead, Counted
from dicomnode.train.engine import BEST, FitSettings
from dicomnode.train.experiment.arms import Arm, Plan, Runs, run_arms
from dicomnode.train.fused.running import FOLDS, members_of, said, say, with_epochs
from dicomnode.train.results import Results, read_results
from dicomnode.train.run import REPORT, train_model
from dicomnode.train.settings import TrainSettings
from dicomnode.zoo.deterioration.fusion import Channels

PATIENTS, FEW = 60_000, 426
"""To learn from; as many as the paper had, training and test together."""
SEEDS = (1, 2, 3)
FUSED, STRUCTURED, TEXT, TF_IDF, TF_IDF_TEXT = "fused", "structured", "text", "fused tf-idf", "text tf-idf"
ENCODED = "fused published encoder"
FIT = FitSettings(
    epochs=12, learning_rate=2e-3, weight_decay=0.02, patience=0, device="cpu", mixed_precision=False, averaging=0.995
)
TRAINING = TrainSettings(fit=FIT, batch=128, progress=False)
FEW_TRAINING = replace(TRAINING, fit=replace(FIT, epochs=30, patience=8, averaging=0.9), batch=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """All that was trained.

    Attributes
    ----------
    out : folder of all. reader : weights of the reader.
    runs, few : results on the unseen by seed and arm, learned from all patients and from few.
    folds : folder of the cross-validation; its members are ``fold-K/best.safetensors``.
    out_of_fold : results of the patients that were learned from, each by the fold that had not seen it.
    """

    out: Path
    reader: Path
    manifests: Mapping[str, Path]
    runs: Runs
    few: Runs
    folds: Path
    out_of_fold: Results

    @property
    def members(self) -> list[Path]:
        """Weights of the folds."""
        return members_of(self.folds)


def train_all(given: argparse.Namespace) -> Trained:
    """Train what is not there yet.

    Raises
    ------
    ManifestError, TrainingError : a training cannot go on.
    """
    out: Path = given.out
    manifests = write_manifests(out / "patients", given.patients, FEW)
    say(f"{given.patients} patients to learn from")
    reader = out / "reader" / BEST
    if not reader.exists() or given.reader_epochs:
        trained_reader(out / "reader", replace(SETTINGS, epochs=given.reader_epochs or SETTINGS.epochs))
    say("the reader is trained")
    arms = arms_of(reader, given.encoder)
    read, others = arms[:3], arms[3:]
    results = out / "folds" / REPORT / "results.csv"
    if not results.exists():
        train_model(
            manifests["folds"],
            out / "folds",
            arms[0].learner(),
            replace(with_epochs(TRAINING, given.epochs), folds=FOLDS),
        )
    say(f"{FOLDS} folds are trained")

    def trained(manifest: str, arms: Sequence[Arm], settings: TrainSettings = TRAINING) -> Runs:
        plan = Plan(tuple(given.seeds), tuple(arm.name for arm in arms), with_epochs(settings, given.epochs))
        folder = out / ("few" if manifest == "few" else "whole")
        runs = run_arms(manifests[manifest], folder, arms, plan, trained_only=given.trained_only)
        return dict(said(runs))

    few = trained("few", read, FEW_TRAINING)
    whole = {**trained("whole", read), **trained("whole", others)}
    return Trained(
        out=out,
        reader=reader,
        manifests=manifests,
        runs=whole,
        few=few,
        folds=out / "folds",
        out_of_fold=read_results(results),
    )


def arms_of(reader: Path, encoder: Path | None = None) -> Sequence[Arm]:
    """The arms; the first is the one that ships. All that read share what was read.

    Parameters
    ----------
    encoder : folder with a published encoder; then there is an arm with it, too.

    Raises
    ------
    TrainingError : the weights of the reader, or the encoder, cannot be loaded.
    """
    read, counted = AsRead(load_reader(reader)), Counted()
    encoded = None if encoder is None else AsEncoded(encoder)
    return (
        Arm(FUSED, lambda: DeteriorationLearner(read)),
        Arm(STRUCTURED, lambda: DeteriorationLearner(read, Channels.STRUCTURED)),
        Arm(TEXT, lambda: DeteriorationLearner(read, Channels.TEXT)),
        Arm(TF_IDF, lambda: DeteriorationLearner(counted)),
        Arm(TF_IDF_TEXT, lambda: DeteriorationLearner(counted, Channels.TEXT)),
        *([] if encoded is None else [Arm(ENCODED, lambda: DeteriorationLearner(encoded), ships=False)]),
    )

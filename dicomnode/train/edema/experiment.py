"""The trainings behind the shipped weights: heads, encoders, fusions from several seeds, five folds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dicomnode.train.edema import encoders, heads
from dicomnode.train.edema.encoders import FACTS_FIT, MASKED_FIT, Heads, stacked_heads, told_right
from dicomnode.train.edema.facts import painted
from dicomnode.train.edema.features import OfHeads
from dicomnode.train.edema.learner import EdemaLearner
from dicomnode.train.edema.records import records
from dicomnode.train.engine import FitSettings
from dicomnode.train.experiment.arms import Arm, Plan, Runs, run_arms
from dicomnode.train.fused.running import FOLDS, members_of, said, say, with_epochs
from dicomnode.train.manifest import Split, read_manifest, write_manifest
from dicomnode.train.results import Results, read_results
from dicomnode.train.run import REPORT, train_model
from dicomnode.train.settings import TrainSettings
from dicomnode.zoo.edema.heads import HeadFeatures
from dicomnode.zoo.edema.mixer import Channels, MixerSize
from dicomnode.zoo.networks.head_encoder import HeadEncoder
from dicomnode.zoo.networks.vit import VitEncoder

HEADS, AT_A, AT_B, RECORDS = 1000, 200, 40, 5_000
"""To learn from; unseen ones of each arm at site A and at B; patients without an image."""
SEEDS = (1, 2, 3)
FUSED, IMAGE, RECORD = "fused", "image", "record"
NO_ATTENTION, NO_MIXER, MEAN = "without attention", "without mixer", "mean imputation"
RANDOM, MASKED = "image, random encoder", "image, masked encoder"
FIT = FitSettings(
    epochs=6, learning_rate=2e-3, weight_decay=0.05, patience=0, device="cpu", mixed_precision=False, averaging=0.99
)
TRAINING = TrainSettings(fit=FIT, batch=128, progress=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """All that was trained.

    Attributes
    ----------
    out : folder of all. facts : encoder that was taught what is painted, and ships.
    told : fact -> share of its variance that it explains, in the unseen heads of site A.
    runs : results on the unseen by seed and arm.
    folds : folder of the cross-validation; its members are ``fold-K/best.safetensors``.
    """

    out: Path
    manifest: Path
    facts: HeadEncoder
    told: Mapping[str, float]
    runs: Runs
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
    manifests = _manifests(given)
    whole = heads_of(manifests["heads"], out / "cache")
    facts, masked = _encoders(given, whole)
    say("the encoders are trained")
    arms = arms_of(facts, masked, out / "cache")
    results = out / "folds" / REPORT / "results.csv"
    if not results.exists():
        settings = replace(with_epochs(TRAINING, given.epochs), folds=FOLDS, cache=out / "features")
        train_model(manifests["folds"], out / "folds", arms[0].learner(), settings)
    say(f"{FOLDS} folds are trained")
    plan = Plan(tuple(given.seeds), tuple(arm.name for arm in arms), with_epochs(TRAINING, given.epochs))
    runs = dict(said(run_arms(manifests["whole"], out / "arms", arms, plan, trained_only=given.trained_only)))
    told = told_right(facts, whole["test A"])
    return Trained(
        out=out,
        manifest=manifests["heads"],
        facts=facts,
        told=told,
        runs=runs,
        folds=out / "folds",
        out_of_fold=read_results(results),
    )


def _manifests(given: argparse.Namespace) -> Mapping[str, Path]:
    """``heads``: all of them; ``whole``: and the records; ``folds``: what is learned from, without splits."""
    folder: Path = given.out / "heads"
    training = heads.training_groups(given.heads)
    unseen = heads.unseen_groups(given.unseen[0], given.unseen[1])
    every = heads.write_manifests(folder, training, unseen, given.processes)
    paths = {"heads": every, **{name: given.out / f"{name}-{given.records}.csv" for name in ("whole", "folds")}}
    cases = [*read_manifest(every, EdemaLearner.needs.label_ranges).cases, *records(given.records)]
    write_manifest(paths["whole"], cases)
    write_manifest(paths["folds"], [replace(one, split=None) for one in cases if one.split is not Split.TEST])
    return paths


def heads_of(manifest: Path, cache: Path) -> Mapping[str, Heads]:
    """Heads with what is painted in them, by split; ``test A`` and ``test B`` apart."""
    found: dict[str, list[Mapping[str, torch.Tensor]]] = {}
    for case in read_manifest(manifest, EdemaLearner.needs.label_ranges).cases:
        key = f"test {case.site}" if case.split is Split.TEST else str(case.split and case.split.value)
        found.setdefault(key, []).append(painted(case, cache))
    return {key: stacked_heads(members) for key, members in found.items()}


def _encoders(given: argparse.Namespace, whole: Mapping[str, Heads]) -> tuple[HeadEncoder, VitEncoder]:
    """The one that was taught what is painted, and the one that has filled in heads."""
    training, apart = whole[Split.TRAIN.value], whole[Split.VALIDATION.value]
    facts_fit = replace(FACTS_FIT, epochs=given.encoder_epochs or FACTS_FIT.epochs)
    masked_fit = replace(MASKED_FIT, epochs=given.encoder_epochs or MASKED_FIT.epochs)
    folder = given.out / "encoders"
    facts = encoders.trained_on_facts(folder / "facts", training, apart, facts_fit)
    return facts, encoders.trained_by_masking(folder / "masked", training, apart, masked_fit)


def arms_of(facts: HeadEncoder, masked: VitEncoder, cache: Path) -> Sequence[Arm]:
    """The arms; the first is the one that ships."""
    torch.manual_seed(0)
    taught = OfHeads(HeadFeatures(facts), "taught facts", cache)
    filled, random = (
        OfHeads(HeadFeatures(one), name, cache) for name, one in (("masked", masked), ("random", VitEncoder()))
    )
    size = MixerSize()
    return (
        Arm(FUSED, lambda: EdemaLearner(taught)),
        Arm(IMAGE, lambda: EdemaLearner(taught, Channels.IMAGE)),
        Arm(RECORD, lambda: EdemaLearner(taught, Channels.RECORD)),
        Arm(MEAN, lambda: EdemaLearner(taught, size=replace(size, gaps="mean"))),
        Arm(NO_ATTENTION, lambda: EdemaLearner(taught, size=replace(size, attends=False))),
        Arm(NO_MIXER, lambda: EdemaLearner(taught, size=replace(size, mixes=False))),
        Arm(RANDOM, lambda: EdemaLearner(random, Channels.IMAGE), ships=False),
        Arm(MASKED, lambda: EdemaLearner(filled, Channels.IMAGE), ships=False),
    )

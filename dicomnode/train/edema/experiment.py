"""The trainings behind the shipped weights: heads, encoders, fusions from several seeds, five folds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from dicomnode.train.checkpoint import save_weights
from dicomnode.train.edema import encoders, heads
from dicomnode.train.edema.encoders import MASKED_FIT
from dicomnode.train.edema.learner import EdemaLearner
from dicomnode.train.edema.records import records
from dicomnode.train.engine import FitSettings
from dicomnode.train.experiment.arms import Arm, Plan, Runs, run_arms
from dicomnode.train.fused.running import FOLDS, members_of, said, say, with_epochs
from dicomnode.train.head_reader.features import OfHeads
from dicomnode.train.head_reader.marking import FIT as MARKING
from dicomnode.train.head_reader.marking import trained_to_mark
from dicomnode.train.head_reader.painted import PAINTED, Heads, heads_of
from dicomnode.train.head_reader.telling import (
    TOLD,
    Errors,
    explained,
    summaries_of,
    taught_to_tell,
    told_of_others,
)
from dicomnode.train.importers.cohort import ARM
from dicomnode.train.manifest import Case, Split, write_manifest
from dicomnode.train.results import Results, read_results
from dicomnode.train.run import REPORT, train_model
from dicomnode.train.settings import TrainSettings
from dicomnode.train.tabular import numbers_of
from dicomnode.zoo.edema.mixer import Channels, MixerSize
from dicomnode.zoo.networks.head_features import HeadFeatures
from dicomnode.zoo.networks.head_reader import HeadReader
from dicomnode.zoo.networks.vit import FAST, VitEncoder

HEADS, TELLING, AT_A, AT_B, RECORDS = 3000, 2000, 200, 40, 30_000
"""That the reader learns to mark in; others in which it learns to tell; unseen ones of each arm at site A and at B;
patients without an image."""
SEEDS = (1, 2, 3)
THIRD, APART = 3, 16
"""The masked encoder is slow: every third head teaches it, every sixteenth of the others chooses its epoch."""
FUSED, IMAGE, RECORD = "fused", "image", "record"
NO_ATTENTION, NO_MIXER, MEAN = "without attention", "without mixer", "mean imputation"
HEADS_ALONE, RANDOM, MASKED = "image, heads alone", "image, random encoder", "image, masked encoder"
"""Three encoders, each with the same heads and nothing else."""
FIT = FitSettings(
    epochs=12, learning_rate=2e-3, weight_decay=0.05, patience=0, device="cpu", mixed_precision=False, averaging=0.99
)
TRAINING = TrainSettings(fit=FIT, batch=128, progress=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """All that was trained.

    Attributes
    ----------
    out : folder of all. manifest : of the heads. reader : of heads, which ships.
    told : fact -> share of its variance that the reader explains, in the unseen heads of site A.
    runs : results on the unseen by seed and arm.
    folds : folder of the cross-validation; its members are ``fold-K/best.safetensors``.
    counts : of heads that it learned to mark in, of those that it learned to tell in, of records.
    """

    out: Path
    manifest: Path
    reader: HeadReader
    told: Mapping[str, float]
    runs: Runs
    folds: Path
    out_of_fold: Results
    counts: tuple[int, int, int]

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
    marked, telling, unseen = _cases(given)
    manifest = write_manifest(out / "heads" / "manifest.csv", unseen)
    whole = heads_of(marked, out / "cache", progress=True)
    others = heads_of(telling, out / "cache", progress=True)
    say("heads are made")
    reader, errors = _reader(given, whole, others, [case.groups[ARM] for case in telling])
    say("the reader of heads is trained")
    manifests = _manifests(given, telling, unseen, errors)
    masked = _masked(given, whole, others)
    read = OfHeads(reader, "reader of heads", out / "cache")
    arms = arms_of(read, masked, out / "cache")
    results = out / "folds" / REPORT / "results.csv"
    if not results.exists():
        settings = replace(with_epochs(TRAINING, given.epochs), folds=FOLDS, cache=out / "features")
        train_model(manifests["folds"], out / "folds", arms[0].learner(), settings)
    say(f"{FOLDS} folds are trained")
    plan = Plan(tuple(given.seeds), tuple(arm.name for arm in arms), with_epochs(TRAINING, given.epochs))
    runs = dict(said(run_arms(manifests["whole"], out / "arms", arms, plan, trained_only=given.trained_only)))
    return Trained(
        out=out,
        manifest=manifest,
        reader=reader,
        told=_told(read, unseen, out / "features"),
        runs=runs,
        folds=out / "folds",
        out_of_fold=read_results(results),
        counts=(len(marked), len(telling), given.records),
    )


def _cases(given: argparse.Namespace) -> tuple[list[Case], list[Case], list[Case]]:
    """Heads to mark in, to tell in, and unseen ones."""
    folder: Path = given.out / "heads"
    marked = heads.training_groups(given.heads)
    telling = heads.training_groups(given.telling, before=given.heads)
    unseen = heads.unseen_groups(given.unseen[0], given.unseen[1])
    first, second, third = (
        heads.cases_of(folder, groups, split, given.processes)
        for groups, split in ((marked, Split.TRAIN), (telling, Split.TRAIN), (unseen, Split.TEST))
    )
    return first, second, third


def _reader(given: argparse.Namespace, marked: Heads, telling: Heads, arms: Sequence[str]) -> tuple[HeadReader, Errors]:
    """The reader of heads, and how far it is off in heads that it has not learned from."""
    settings = replace(MARKING, epochs=given.encoder_epochs or MARKING.epochs)
    reader = HeadReader()
    reader.slabs = trained_to_mark(given.out / "reader", marked, settings)
    summaries = _summaries(given.out / "reader" / "summaries.safetensors", reader, telling)
    reader.teller = taught_to_tell(summaries, telling.facts)
    return reader.eval(), Errors(telling.facts, told_of_others(summaries, telling.facts), arms)


def _summaries(kept: Path, reader: HeadReader, heads_told: Heads) -> torch.Tensor:
    """What is marked in heads, computed once."""
    if not kept.exists():
        save_weights({"summaries": summaries_of(reader.slabs, heads_told)}, kept)
    summaries: torch.Tensor = load_file(kept)["summaries"]
    return summaries


def _manifests(
    given: argparse.Namespace, telling: Sequence[Case], unseen: Sequence[Case], errors: Errors
) -> Mapping[str, Path]:
    """``whole``: heads and records; ``folds``: what is learned from, without splits."""
    read = [
        replace(case, variables={**case.variables, **dict(zip(TOLD, told, strict=True))})
        for case, told in zip(telling, errors.told.tolist(), strict=True)
    ]
    cases = [*read, *records(given.records, errors), *unseen]
    paths = {name: given.out / f"{name}-{given.records}.csv" for name in ("whole", "folds")}
    write_manifest(paths["whole"], cases)
    write_manifest(paths["folds"], [replace(one, split=None) for one in cases if one.split is not Split.TEST])
    return paths


def _masked(given: argparse.Namespace, marked: Heads, apart: Heads) -> VitEncoder:
    settings = replace(MASKED_FIT, epochs=given.encoder_epochs or MASKED_FIT.epochs)
    return encoders.trained_by_masking(given.out / "masked", marked.image[::THIRD], apart.image[::APART], settings)


def _told(read: OfHeads, unseen: Sequence[Case], cache: Path) -> Mapping[str, float]:
    cases = [case for case in unseen if case.site == "A"]
    facts = torch.stack([numbers_of(case.variables, PAINTED) for case in cases])
    return explained(facts, torch.stack([read.of(case, cache) for case in cases]))


def arms_of(read: OfHeads, masked: VitEncoder, cache: Path) -> Sequence[Arm]:
    """The arms; the first is the one that ships."""
    torch.manual_seed(0)
    filled, random = (
        OfHeads(HeadFeatures(one, FAST.width), name, cache)
        for name, one in (("masked", masked), ("random", VitEncoder()))
    )
    size = MixerSize()
    return (
        Arm(FUSED, lambda: EdemaLearner(read)),
        Arm(IMAGE, lambda: EdemaLearner(read, Channels.IMAGE)),
        Arm(RECORD, lambda: EdemaLearner(read, Channels.RECORD)),
        Arm(MEAN, lambda: EdemaLearner(read, size=replace(size, gaps="mean"))),
        Arm(NO_ATTENTION, lambda: EdemaLearner(read, size=replace(size, attends=False))),
        Arm(NO_MIXER, lambda: EdemaLearner(read, size=replace(size, mixes=False))),
        Arm(HEADS_ALONE, lambda: EdemaLearner(read, Channels.IMAGE, alone=True), ships=False),
        Arm(RANDOM, lambda: EdemaLearner(random, Channels.IMAGE, readings=False, alone=True), ships=False),
        Arm(MASKED, lambda: EdemaLearner(filled, Channels.IMAGE, readings=False, alone=True), ships=False),
    )

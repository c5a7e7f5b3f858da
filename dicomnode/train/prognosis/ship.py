"""From finished trainings to a bundle: weights, pieces of words, calibration, and which of two models ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dicomnode.cohort.streams import stream
from dicomnode.train.bundle_files import copy_bundle, write_calibration
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.fused.bundle import written
from dicomnode.train.manifest import Split, read_manifest
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.prognosis.experiment import Trained
from dicomnode.train.prognosis.learner import BUNDLE
from dicomnode.train.prognosis.logistic import fitted
from dicomnode.train.prognosis.patients import OUTCOME
from dicomnode.train.prognosis.reader import WORDS, load_reader
from dicomnode.train.results import Results, results_of
from dicomnode.train.statistics import auc
from dicomnode.train.tabular import ExamTensors, stacked
from dicomnode.zoo.prognosis.logistic import Logistic
from dicomnode.zoo.prognosis.network import OTHERS, PrognosisNetwork

KEPT = ("report.md", "figures.json", "reliability.png")
FOLDS_OF_REGRESSION = 5


def learned(trained: Trained) -> list[ExamTensors]:
    """The exams that the fusions learned from."""
    cases = read_manifest(trained.manifests["whole"]).cases
    mine = [case for case in cases if case.split is not Split.TEST]
    return trained.learner.samples(mine, trained.out / "features", skip_unusable=False, progress=False)[0]


def assembled(trained: Trained, bundle: Path) -> Path:
    """A bundle with what was trained. The regression ships where the fusions are not better out of fold.

    Returns
    -------
    The folder.

    Raises
    ------
    TrainingError : weights cannot be read.
    """
    exams = learned(trained)
    text, vocabulary = load_reader(trained.reader)
    other = regressed(exams)
    ships = "council" if auc_of(trained.out_of_fold) > auc_of(other) else "logistic"
    network = PrognosisNetwork(len(vocabulary), len(trained.members), ships)
    network.heads.load_state_dict(trained.learner.heads.encoder.state_dict())
    network.reader, network.logistic = text, fitted(exams)
    for member, weights in zip(network.council, trained.members, strict=True):
        load_weights_file(member, weights)
    network.others.copy_(_others(exams))
    written(bundle, BUNDLE, network)
    shutil.copyfile(trained.reader.parent / WORDS, bundle / "models" / WORDS)
    _configured(bundle, vocabulary=len(vocabulary), members=len(trained.members), ships=ships)
    told = Probability(OUTCOME).calibration(trained.out_of_fold if ships == "council" else other)
    assert told is not None
    write_calibration(bundle, told)
    return bundle


def _configured(bundle: Path, **network: int | str) -> None:
    path = bundle / "configs" / "inference.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["network_def"] |= network
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _others(exams: Sequence[ExamTensors]) -> torch.Tensor:
    """(OTHERS, variables) of patients that were learned from, with the most known of them."""
    variables = stacked(exams)["variables"]
    chosen = stream(0, "others").permutation(len(exams))[: 8 * OTHERS]
    known = torch.isfinite(variables[chosen]).sum(dim=1)
    return variables[chosen][known.argsort(descending=True)[:OTHERS]]


def regressed(exams: Sequence[ExamTensors]) -> Results:
    """What the regression says of each exam, each by a fit to others."""
    fold = stream(0, "regression").permutation(len(exams)) % FOLDS_OF_REGRESSION
    scores = np.zeros(len(exams))
    for number in range(FOLDS_OF_REGRESSION):
        network = fitted([one for one, of in zip(exams, fold, strict=True) if of != number])
        scores[fold == number] = scores_of(network, [one for one, of in zip(exams, fold, strict=True) if of == number])
    labels = stacked(exams)["label"][:, 0].tolist()
    rows = [{"label": label, "score": float(score)} for label, score in zip(labels, scores, strict=True)]
    return results_of([one.case for one in exams], rows)


def scores_of(network: Logistic, exams: Sequence[ExamTensors]) -> list[float]:
    """Probabilities by the regression."""
    tensors = stacked(exams)
    with torch.inference_mode():
        given: list[float] = network(tensors["facts"], tensors["variables"]).double().sigmoid().tolist()
    return given


def auc_of(results: Results) -> float:
    """Of the exams whose outcome is known."""
    return auc(*Probability(OUTCOME).pairs(results))


def install(bundle: Path, report: Path, docs: Path) -> None:
    """Copy a bundle and its report to their places in the project."""
    copy_bundle(bundle, BUNDLE, report, docs, kept=KEPT)

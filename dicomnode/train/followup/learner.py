"""The learner of the predicted follow-up scan: two tasks of one network, balanced while they are learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.progress import track
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from dicomnode.train.engine import Batch
from dicomnode.train.exam_learner import ExamLearner
from dicomnode.train.followup.balance import GradNorm
from dicomnode.train.followup.batches import PairBatches
from dicomnode.train.followup.exam import taught
from dicomnode.train.followup.judging import METALLIC, measured, metallic_sign
from dicomnode.train.followup.outputs import MetallicSign, Regions, VoxelBlood
from dicomnode.train.followup.pairs import DEAD, STAINED, TARGET, pair_of
from dicomnode.train.importers.cohort import HOURS, PAINTED_DENSITY
from dicomnode.train.learner import Needs
from dicomnode.train.manifest import Case, Split
from dicomnode.train.outputs.image import ImageOutput
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.results import Results, results_of
from dicomnode.train.settings import TrainSettings
from dicomnode.train.tabular import ExamTensors, numbers_of, over_known, scale_of, stacked
from dicomnode.zoo.followup.network import FollowUpNetwork, Prediction
from dicomnode.zoo.followup.sizes import FollowUpParts

OUTCOME, LABEL = "followup", "haemorrhage_followup"
"""The model's name, and what the cohort calls the outcome."""
BLOOD_TO_COME = "blood on the follow-up scan"
USUAL_H = 24.0
"""Taken where the hours are not known."""
SCALE_HU, MORE = 10.0, 3.0
"""Unit of the error; by how much more a voxel that changes counts."""
BLOOD_WEIGHT, KIND_WEIGHT = 5.0, 2.0
"""Of the blood of voxels, and of what they are on the first scan, against the error."""
KINDS = 3
VALIDATED = 60
"""Exams that an epoch is judged by: whole heads take three times as long as the parts that are learned from."""


class Balanced(nn.Module):
    """The network, with what balances its tasks and the rule that it is held against.

    Parameters
    ----------
    size, parts : of the network.

    Attributes
    ----------
    constants : (kinds,) usual change of each kind of voxel on the first scan among the training pairs, HU.
    """

    constants: torch.Tensor

    def __init__(self, size: str, parts: FollowUpParts) -> None:
        super().__init__()
        self.network = FollowUpNetwork(size, parts)
        self.balance = GradNorm(parts.generates + parts.classifies)
        self.register_buffer("constants", torch.zeros(KINDS))

    def forward(self, head: torch.Tensor, given: torch.Tensor) -> Balancing:
        """What the network says, and what a loss needs beside it."""
        return Balancing(self.network(head, given), self.balance, self.network.last_shared)


class Balancing(NamedTuple):
    """A prediction on its way into the loss."""

    said: Prediction
    balance: GradNorm
    shared: nn.Parameter


class FollowUpLearner(ExamLearner):
    """The scan to come, and whether it shows blood.

    Parameters
    ----------
    size : name of the network's size. parts : of the network.
    variables : of the patient that it is told, by their names in the manifest.
    """

    name = OUTCOME
    stratify_by = LABEL
    inputs = ("head", "given")
    needs = Needs(targets=(TARGET,))

    def __init__(self, size: str = "fast", parts: FollowUpParts | None = None, variables: Sequence[str] = ()) -> None:
        self.size, self.variables = size, tuple(variables)
        self.parts = parts or FollowUpParts(variables=len(self.variables))
        exam = Probability(BLOOD_TO_COME)
        scan = (ImageOutput("follow-up scan"), Regions(), VoxelBlood())
        self.outputs = (
            *((exam, MetallicSign()) if self.parts.classifies else ()),
            *(scan if self.parts.generates else ()),
        )

    def settings(self) -> Mapping[str, object]:
        return {"size": self.size, "variables": list(self.variables), **asdict(self.parts)}

    def tensors(self, case: Case, cache: Path) -> Mapping[str, torch.Tensor]:
        known = {HOURS: USUAL_H, **case.variables}
        return {
            **pair_of(case, cache),
            "given": numbers_of(known, (HOURS, *self.variables)),
            "painted": numbers_of(known, (PAINTED_DENSITY,)),
            "label": numbers_of(case.labels, (LABEL,)),
        }

    def network(self, training: Sequence[ExamTensors]) -> nn.Module:
        network = Balanced(self.size, self.parts)
        if training:
            network.constants.copy_(_usual_changes(training))
        if training and self.variables:
            mean, deviation = scale_of(stacked(training)["given"][:, 1:], self.variables)
            network.network.conditions.mean.copy_(mean)
            network.network.conditions.deviation.copy_(deviation)
        return network

    def batches(self, samples: Mapping[Split, Sequence[ExamTensors]], settings: TrainSettings) -> Any:
        """A part of every training pair once an epoch."""
        return PairBatches(samples[Split.TRAIN], settings.batch, settings.fit.seed)

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        said, balance, shared = output
        losses = [scan_loss(said, batch)] if self.parts.generates else []
        if self.parts.classifies:
            losses.append(over_known(binary_cross_entropy_with_logits, said.exam_logit, batch["label"][:, 0]))
        total: torch.Tensor = balance(losses, shared)
        return total

    def finished(self, network: nn.Module, training: Sequence[ExamTensors], settings: TrainSettings) -> bool:
        """The exam's head learns from whole heads what their maps tell."""
        assert isinstance(network, Balanced)
        return taught(network.network, training, settings.fit.seed, progress=settings.progress)

    def validate(self, network: nn.Module, samples: Sequence[ExamTensors], *, bfloat16: bool) -> float:
        """Both losses of whole heads, in equal parts, negative."""
        total, samples = 0.0, samples[:VALIDATED]
        for sample in samples:
            batch = {name: value[None] for name, value in sample.tensors.items()}
            said = network(batch["head"], batch["given"]).said
            total += float(scan_loss(said, batch)) if self.parts.generates else 0.0
            if self.parts.classifies:
                total += float(over_known(binary_cross_entropy_with_logits, said.exam_logit, batch["label"][:, 0]))
        return -total / len(samples)

    def judge(self, network: nn.Module, samples: Sequence[ExamTensors], *, progress: bool) -> Results:
        """Every head as a whole."""
        network.eval()
        with torch.inference_mode():
            rows = [self._row(network, one) for one in track(samples, "judging", disable=not progress)]
        return results_of([sample.case for sample in samples], rows)

    def _row(self, network: nn.Module, sample: ExamTensors) -> Mapping[str, float]:
        tensors = sample.tensors
        said: Prediction = network(tensors["head"][None], tensors["given"][None]).said
        row = {
            "label": float(tensors["label"][0]),
            "score": float(torch.sigmoid(said.exam_logit[0])),
            METALLIC: metallic_sign(sample),
        }
        if not self.parts.classifies:
            row = {}
        if not self.parts.generates:
            return row
        constants = network.constants
        assert isinstance(constants, torch.Tensor)
        p_blood = torch.sigmoid(said.blood_logit[0]).numpy()
        return {**row, **measured(sample, said.change_hu[0].numpy(), p_blood, constants)}


def scan_loss(said: Prediction, batch: Batch) -> torch.Tensor:
    """Of tissue, blood and kinds, each a mean over the brain that both scans show."""
    known = batch["known"].float()
    weight = known * (1.0 + MORE * batch["changed"].float())
    error = (batch["head"][:, 0].float() + said.change_hu - batch["target"].float()).abs() / SCALE_HU
    blood = _over(known, binary_cross_entropy_with_logits(said.blood_logit, batch["blood"].float(), reduction="none"))
    are = torch.stack([batch["kind"] == kind for kind in (STAINED, DEAD)], dim=1).float()
    kinds = _over(known[:, None], binary_cross_entropy_with_logits(said.kind_logit, are, reduction="none"))
    return _over(weight, error) + BLOOD_WEIGHT * blood + KIND_WEIGHT * kinds


def _over(weight: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean of values, weighted; 0 where all weights are."""
    return (values * weight).sum() / weight.expand_as(values).sum().clamp(min=1.0)


def _usual_changes(training: Sequence[ExamTensors]) -> torch.Tensor:
    """(kinds,) median change of each kind of voxel in the brain of all pairs, the exams' own medians averaged."""
    found = torch.zeros(KINDS)
    for kind in range(KINDS):
        medians = []
        for sample in training:
            tensors = sample.tensors
            chosen = (tensors["kind"] == kind) & tensors["known"].bool()
            change = (tensors["target"].float() - tensors["head"][0].float())[chosen]
            medians += [change.median()] if len(change) else []
        found[kind] = torch.stack(medians).mean() if medians else 0.0
    return found


def fast_learner() -> FollowUpLearner:
    """The learner of the network that the node runs."""
    return FollowUpLearner()


def paper_learner() -> FollowUpLearner:
    """The learner of the published size."""
    return FollowUpLearner("paper")

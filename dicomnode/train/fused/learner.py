"""The learner of one outcome that is fused from several inputs, with what its trainings have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.engine import Batch
from dicomnode.train.exam_learner import ExamLearner
from dicomnode.train.statistics import auc
from dicomnode.train.tabular import ExamTensors, over_known, stacked

COUNCIL = "council."
"""What the weights of a bundle begin with that are none of a single training."""
SMALLEST_DEVIATION = 1e-3


class FusedLearner(ExamLearner):
    """One outcome, told as log odds (exams,); ``label`` of an exam holds it first."""

    @abstractmethod
    def whole(self, weights: Path) -> nn.Module:
        """The network of a bundle, new, that its weights fit: what reads and the council of fusions."""

    def trained(self, weights: Path) -> nn.Module:
        """The network with the weights of a training, or those of a bundle.

        Raises
        ------
        TrainingError : they do not fit.
        """
        if not is_whole(weights):
            return super().trained(weights)
        whole = self.whole(weights)
        load_weights_file(whole, weights)
        return whole.eval()

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        """Cross-entropy over the exams whose outcome is known."""
        return over_known(binary_cross_entropy_with_logits, output, batch["label"][:, 0])

    def auc_of(self, network: nn.Module, samples: Sequence[ExamTensors]) -> float:
        """AUC of the exams whose outcome is known."""
        labels = stacked(samples)["label"][:, 0]
        known = torch.isfinite(labels)
        return auc(labels[known].numpy(), self.answers(network, samples)[known].numpy())


def column_scale(values: torch.Tensor, prefix: str = "") -> dict[str, torch.Tensor]:
    """Mean and deviation of each column where it is known, as a network's buffers; of one that no training exam has
    they stay 0 and 1, should it ever come.

    Parameters
    ----------
    values : (exams, columns), NaN where not known. prefix : of the buffers' names.
    """
    there = torch.isfinite(values).sum(dim=0) > 1
    mean, deviation = torch.zeros(values.shape[1]), torch.ones(values.shape[1])
    mean[there] = values[:, there].nanmean(dim=0)
    deviation[there] = (values[:, there] - mean[there]).square().nanmean(dim=0).sqrt().clamp(min=SMALLEST_DEVIATION)
    return {f"{prefix}mean": mean, f"{prefix}deviation": deviation}


def is_whole(weights: Path) -> bool:
    """Whether a file holds what reads and the council, as a bundle does."""
    try:
        with safe_open(weights, framework="pt") as file:
            return any(name.startswith(COUNCIL) for name in file.keys())  # noqa: SIM118
    except OSError:
        return False

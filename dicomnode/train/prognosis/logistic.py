"""Fits the logistic regression by Newton's method: six numbers need no epochs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dicomnode.train.tabular import ExamTensors, stacked
from dicomnode.zoo.prognosis.logistic import Logistic
from dicomnode.zoo.prognosis.network import new_logistic

STEPS, RIDGE = 20, 0.1


def fitted(training: Sequence[ExamTensors]) -> Logistic:
    """The regression on exams whose outcome is known; a small ridge keeps it defined."""
    tensors, network = stacked(training), new_logistic()
    known = network.inputs(tensors["facts"], tensors["variables"])
    network.mean.copy_(known.nanmean(dim=0))
    network.deviation.copy_((known - network.mean).square().nanmean(dim=0).sqrt().clamp(min=1e-3))
    scaled = torch.nan_to_num((known - network.mean) / network.deviation).double()
    weights = newton(torch.cat([scaled, torch.ones(len(scaled), 1)], dim=1), tensors["label"][:, 0].double())
    with torch.no_grad():
        network.line.weight.copy_(weights[None, :-1])
        network.line.bias.copy_(weights[-1:])
    return network.eval()


def newton(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(columns,) weights, the last column of the inputs being 1."""
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64)
    ridge = RIDGE * torch.eye(inputs.shape[1], dtype=torch.float64)
    for _ in range(STEPS):
        p = torch.sigmoid(inputs @ weights)
        slope = inputs.T @ (p - labels) + ridge @ weights
        weights = weights - torch.linalg.solve((inputs * (p * (1 - p))[:, None]).T @ inputs + ridge, slope)
    return weights

"""The logistic regression that the fusion must be better than: volume, ventricles, location, age and GCS."""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.prognosis.bleed import FACTS

USED = ("volume", "ventricles", "deep", "infratentorial")
VARIABLES = ("age", "gcs")


class Logistic(nn.Module):
    """Each input once; one that is not known counts as the mean of the training patients.

    Attributes
    ----------
    mean, deviation : of the inputs among the training patients. places : of facts and variables that are used.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, variables: tuple[int, ...]) -> None:
        super().__init__()
        self.facts, self.variables = [FACTS.index(name) for name in USED], list(variables)
        count = len(self.facts) + len(self.variables)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.line = nn.Linear(count, 1)

    def inputs(self, facts: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
        """(patients, inputs), NaN where not known."""
        return torch.cat([facts[:, self.facts], variables[:, self.variables]], dim=1)

    def forward(self, facts: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
        """(patients,) log odds."""
        scaled = torch.nan_to_num((self.inputs(facts, variables) - self.mean) / self.deviation)
        logits: torch.Tensor = self.line(scaled)[:, 0]
        return logits

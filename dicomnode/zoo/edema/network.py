"""The whole network of a bundle: the reader of heads, and the fusions that weigh what it tells with the record."""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.deterioration.variables import VARIABLES
from dicomnode.zoo.edema.mixer import AttentionMixer
from dicomnode.zoo.networks.head_reader import HeadReader

MEMBERS = 5
"""Fusions of the shipped bundle, one for each fold of its cross-validation."""


class EdemaNetwork(nn.Module):
    """Reader and council, as a bundle's configuration builds them, without weights.

    Parameters
    ----------
    members : fusions of the council.
    """

    def __init__(self, members: int = MEMBERS) -> None:
        super().__init__()
        self.heads = HeadReader()
        self.council = nn.ModuleList([new_member(self.heads.width) for _ in range(members)])

    def forward(self, features: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
        """(patients,) mean log odds of the council, from (patients, features) and (patients, variables)."""
        return torch.stack([member(features, variables) for member in self.council]).mean(dim=0)

    def attention(self, features: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
        """(patients, variables) share of the attention on each variable, mean over heads and council."""
        members = [member for member in self.council if isinstance(member, AttentionMixer)]
        weights = [member.explained(features, variables)[1] for member in members]
        return torch.stack([w.mean(dim=1) for w in weights if w is not None]).mean(dim=0)


def new_member(features: int) -> AttentionMixer:
    """One fusion of the council, new."""
    return AttentionMixer(features, len(VARIABLES))

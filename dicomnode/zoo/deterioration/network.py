"""The whole network of a bundle: the reader of requests, and the networks that weigh what is known."""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.deterioration.fusion import ConcatFusion, Council
from dicomnode.zoo.deterioration.reader import FEATURES, Reader
from dicomnode.zoo.deterioration.variables import VARIABLES

MEMBERS = 5
"""Networks of the shipped bundle, one for each fold of its cross-validation."""


class DeteriorationNetwork(nn.Module):
    """Reader and council, as a bundle's configuration builds them, without weights.

    Parameters
    ----------
    members : networks of the council.
    """

    def __init__(self, members: int = MEMBERS) -> None:
        super().__init__()
        self.reader = Reader()
        self.council = Council([new_member() for _ in range(members)])

    def forward(self, variables: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """(patients,) log odds, see :class:`~dicomnode.zoo.deterioration.fusion.Council`."""
        logits: torch.Tensor = self.council(variables, text)
        return logits


def new_member(channels: str = "fused") -> ConcatFusion:
    """One network of the council, new."""
    return ConcatFusion(len(VARIABLES), FEATURES, channels=channels)

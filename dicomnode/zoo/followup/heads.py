"""What the decoders' tokens become: the change of every voxel and its chance of blood, and that of the exam."""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.followup.sizes import FollowUpSize
from dicomnode.zoo.networks.in_plane import Expanding

HIDDEN = 24
CHANGE_HU = 10.0
"""The network counts changes in this unit."""
RARE = -4.0
"""Log odds of blood in a voxel, and of what else is rare, before anything is learned."""


class ScanHead(nn.Module):
    """Tokens and the voxels that they are of -> HU to be added, and log odds of blood.

    Parameters
    ----------
    size : of the network. channels : of the voxels.
    """

    def __init__(self, size: FollowUpSize, channels: int) -> None:
        super().__init__()
        self.expand = Expanding(size.width, size.width, size.patch)
        self.mix = nn.Sequential(nn.Linear(size.width + channels, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 2))
        last = self.mix[2]
        assert isinstance(last, nn.Linear)
        # the first guess is that nothing changes and nothing bleeds
        nn.init.zeros_(last.weight)
        last.bias.data.copy_(torch.tensor([0.0, RARE]))

    def forward(self, tokens: torch.Tensor, voxels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """HU and log odds, both (heads, slabs, rows, columns).

        Parameters
        ----------
        tokens : (heads, ..., width) of the first level. voxels : (heads, channels, slabs, rows, columns).
        """
        a, b, c = voxels.shape[2:]
        spread = self.expand(tokens)[:, :a, :b, :c]
        change, blood = self.mix(torch.cat([spread, voxels.permute(0, 2, 3, 4, 1)], dim=-1)).unbind(dim=-1)
        return CHANGE_HU * change, blood


class ExamHead(nn.Module):
    """Tokens -> log odds that the exam to come shows blood.

    Tokens are weighed by a score of their own, not averaged: what matters is small, and heads fill a grid differently.

    Parameters
    ----------
    width : of the tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.score, self.logit = nn.LayerNorm(width), nn.Linear(width, 1), nn.Linear(2 * width, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(heads,) from tokens (heads, slabs, rows, columns, width)."""
        flat = self.norm(tokens).flatten(1, 3)
        weighed = (torch.softmax(self.score(flat), dim=1) * flat).sum(dim=1)
        logits: torch.Tensor = self.logit(torch.cat([weighed, flat.amax(dim=1)], dim=1))[:, 0]
        return logits

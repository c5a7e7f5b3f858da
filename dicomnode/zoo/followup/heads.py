"""What the decoders' tokens become: the change of every voxel and its chance of blood, and that of the exam."""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.followup.sizes import FollowUpSize
from dicomnode.zoo.networks.in_plane import Expanding

HIDDEN = 24
CHANGE_HU = 10.0
"""The network counts changes in this unit."""
CUT_HU = ((-30.0, 50.0), (-20.0, 150.0))
"""What of a voxel's HU the head of the scan sees, in the same unit: a change depends on what is there."""
RARE, FIRST_GUESS = -4.0, 0.02
"""Log odds of blood in a voxel before anything is learned, and deviation of the first weights: all but no change."""


class ScanHead(nn.Module):
    """Tokens and the voxels that they are of -> HU to be added, and log odds of blood.

    Parameters
    ----------
    size : of the network.
    """

    def __init__(self, size: FollowUpSize) -> None:
        super().__init__()
        self.expand = Expanding(size.width, size.width, size.patch)
        seen = size.width + len(CUT_HU)
        self.mix = nn.Sequential(nn.Linear(seen, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 2))
        last = self.mix[2]
        assert isinstance(last, nn.Linear)
        # not zero: what is shared would get no gradient, and the other task would have it for itself
        nn.init.normal_(last.weight, std=FIRST_GUESS)
        last.bias.data.copy_(torch.tensor([0.0, RARE]))

    def forward(self, tokens: torch.Tensor, hu: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """HU and log odds, both (heads, slabs, rows, columns).

        Parameters
        ----------
        tokens : (heads, ..., width) of the first level. hu : (heads, slabs, rows, columns) from the brain's commonest.
        """
        a, b, c = hu.shape[1:]
        spread = self.expand(tokens)[:, :a, :b, :c]
        voxels = [hu.clamp(low, high)[..., None] / CHANGE_HU for low, high in CUT_HU]
        change, blood = self.mix(torch.cat([spread, *voxels], dim=-1)).unbind(dim=-1)
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

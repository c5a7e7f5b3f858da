"""Features of a head: what an encoder tells, pooled and as facts."""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.networks.head_encoder import WIDTH, HeadEncoder, pooled_of
from dicomnode.zoo.networks.head_facts import FACTS


class HeadFeatures(nn.Module):
    """An encoder as models of the outcome read it.

    Parameters
    ----------
    encoder : one that tells facts, or one that gives tokens (heads, WIDTH, ...) alone.
    """

    def __init__(self, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = HeadEncoder() if encoder is None else encoder
        self.tells_facts = isinstance(self.encoder, HeadEncoder)
        self.width = 2 * WIDTH + (len(FACTS) if self.tells_facts else 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, width) of (heads, 1, 32, 96, 96) steps of the window."""
        if not self.tells_facts:
            return pooled_of(self.encoder(image))
        told = self.encoder(image)
        return torch.cat([told.pooled, told.facts], dim=1)

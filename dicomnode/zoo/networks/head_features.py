"""Features of a head from an encoder that gives tokens: what comparisons with the reader of heads rest on."""

from __future__ import annotations

import torch
from torch import nn


class HeadFeatures(nn.Module):
    """An encoder as models of the outcome read it.

    Parameters
    ----------
    encoder : heads -> tokens (heads, width, ...). width : of its tokens.
    """

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.encoder, self.width = encoder, 2 * width

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, 2 * width) mean and maximum of the tokens of (heads, 1, 32, 96, 96) steps of the window."""
        flat = self.encoder(image).flatten(2)
        return torch.cat([flat.mean(dim=2), flat.amax(dim=2)], dim=1)

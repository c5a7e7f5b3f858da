"""Encoders of whole heads: a vector of each head for models that judge it with what else is known of the patient.

What it is taught: the painted facts of a head (:mod:`dicomnode.zoo.networks.head_facts`), in each token and as a whole.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from dicomnode.zoo.networks.head_facts import FACTS, KINDS
from dicomnode.zoo.networks.head_grid import as_floats

WIDTH = 96
"""Of the vectors of the tokens."""


class Told(NamedTuple):
    """What an encoder says of heads.

    Attributes
    ----------
    pooled : (heads, 2 * width) mean and maximum of the tokens.
    facts : (heads, facts) in deviations.
    tokens : (heads, kinds, 4, 6, 6) logarithms of 1 + mL / 0.2.
    """

    pooled: torch.Tensor
    facts: torch.Tensor
    tokens: torch.Tensor


class Residual(nn.Module):
    """Two convolutions beside a way around them.

    Parameters
    ----------
    width : channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Conv3d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Conv3d(width, width, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        out: torch.Tensor = x + self.body(x)
        return out


class ConvEncoder(nn.Module):
    """Convolutions down to the tokens of the fast transformer: more is learned from few heads than by attention.

    Parameters
    ----------
    width : of the tokens.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(1, 16, (3, 5, 5), stride=2, padding=(1, 2, 2)),
            nn.GroupNorm(4, 16),
            nn.GELU(),
            nn.Conv3d(16, 32, 3, stride=2, padding=1),
            nn.GroupNorm(8, 32),
            nn.GELU(),
            nn.Conv3d(32, 64, 3, stride=2, padding=1),
            Residual(64),
            nn.Conv3d(64, width, 3, stride=(1, 2, 2), padding=1),
            Residual(width),
            nn.GroupNorm(8, width),
            nn.GELU(),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, width, 4, 6, 6) from (heads, 1, 32, 96, 96) steps of the window."""
        tokens: torch.Tensor = self.layers(as_floats(image))
        return tokens


class HeadEncoder(nn.Module):
    """An encoder with what it tells of heads.

    Parameters
    ----------
    tokens : image -> (heads, width, 4, 6, 6). width : of the tokens.
    """

    def __init__(self, tokens: nn.Module | None = None, width: int = WIDTH) -> None:
        super().__init__()
        self.tokens = ConvEncoder(width) if tokens is None else tokens
        self.of_token = nn.Conv3d(width, len(KINDS), 1)
        self.of_head = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, len(FACTS)))

    def forward(self, image: torch.Tensor) -> Told:
        """What it says of (heads, 1, 32, 96, 96) steps of the window."""
        tokens = self.tokens(image)
        pooled = pooled_of(tokens)
        return Told(pooled, self.of_head(pooled), self.of_token(tokens))


def pooled_of(tokens: torch.Tensor) -> torch.Tensor:
    """(heads, 2 * width) mean and maximum over the tokens (heads, width, ...)."""
    flat = tokens.flatten(2)
    return torch.cat([flat.mean(dim=2), flat.amax(dim=2)], dim=1)

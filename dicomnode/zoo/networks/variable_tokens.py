"""Variables of a patient as tokens, a head that asks them, and the mixing of both: blocks that fusing models share.

References: Ansary Ogholbake et al., arXiv 2603.26726 (AttentionMixer: the order of the blocks); Tolstikhin et al.,
NeurIPS 2021 (MLP-Mixer); Gorishniy et al., NeurIPS 2021 (a number as a token: ``value * weight + bias``).
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import nn

MOST_DEVIATIONS = 6.0
"""Further from the mean a value counts no more."""


class Gaps(StrEnum):
    """What stands for a variable that is not known: an embedding of its own that is learned, or the mean."""

    LEARNED = "learned"
    MEAN = "mean"


class VariableTokens(nn.Module):
    """Each variable becomes a token.

    Parameters
    ----------
    variables : how many. width : of a token. gaps : what stands for one that is not known.
    lost : largest share of the known variables that are withheld from a patient in training.

    Attributes
    ----------
    mean, deviation : (variables,) of the training patients, set by whoever trains.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, variables: int, width: int, gaps: str = Gaps.LEARNED, lost: float = 0.0) -> None:
        super().__init__()
        self.gaps, self.lost = Gaps(gaps), lost
        self.register_buffer("mean", torch.zeros(variables))
        self.register_buffer("deviation", torch.ones(variables))
        self.weight = nn.Parameter(torch.randn(variables, width) * width**-0.5)
        self.bias = nn.Parameter(torch.randn(variables, width) * width**-0.5)
        self.missing = nn.Parameter(torch.randn(variables, width) * width**-0.5)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(patients, variables, width) from (patients, variables); NaN is what is not known."""
        known = self._kept(torch.isfinite(values))
        scaled = ((values - self.mean) / self.deviation).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        scaled = torch.where(known, scaled, 0.0)
        tokens = scaled[..., None] * self.weight + self.bias
        if self.gaps is Gaps.MEAN:
            return tokens
        return torch.where(known[..., None], tokens, self.missing)

    def _kept(self, known: torch.Tensor) -> torch.Tensor:
        """In training without some: a share from 0 to ``lost`` that is drawn for each patient."""
        if not self.training or self.lost == 0.0:
            return known
        share = torch.rand(len(known), 1, device=known.device) * self.lost
        return known & (torch.rand(known.shape, device=known.device) >= share)


class CrossAttention(nn.Module):
    """One query asks tokens; residual, norm and a feed-forward layer follow.

    Parameters
    ----------
    width, heads : of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.forward_layer = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, query: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What was found, and where it was looked for.

        Parameters
        ----------
        query : (patients, width). tokens : (patients, tokens, width), keys and values alike.

        Returns
        -------
        (patients, width), and (patients, heads, tokens) weights, which sum to 1 over the tokens.
        """
        found, weights = self.attention(query[:, None], tokens, tokens, average_attn_weights=False)
        told = self.first(query + found[:, 0])
        return self.second(told + self.forward_layer(told)), weights[:, :, 0]


class MixerBlock(nn.Module):
    """``u = x + W2 gelu(W1 LN(x)^T)^T``, ``y = u + W4 gelu(W3 LN(u))``: across the tokens, then across the channels.

    Parameters
    ----------
    tokens, width : of what is mixed. hidden : of the layers across the tokens; those across channels have 2 * width.
    dropout : share of the hidden units that are left out in training.
    """

    def __init__(self, tokens: int, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across_tokens = nn.Sequential(
            nn.Linear(tokens, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, tokens)
        )
        self.across_channels = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(patients, tokens, width) of the same shape."""
        u = x + self.across_tokens(self.first(x).transpose(1, 2)).transpose(1, 2)
        y: torch.Tensor = u + self.across_channels(self.second(u))
        return y

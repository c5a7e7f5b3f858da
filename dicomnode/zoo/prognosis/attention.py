"""Joint attention of two channels: SoftPool, CMAF and MHSAF (ICHPro, arXiv 2402.11307, section 2.3).

Two things of the paper cannot be taken as they stand: one of its two attentions is normalised over the index that is
not summed over, and none is scaled. Here both are normalised over what is summed, and divided by the root of the width.
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import nn
from torch.nn import functional


class Pairing(StrEnum):
    """Whose values a query gets.

    ``PAPER``: the weights are of own queries with the other's keys, the values those of its own channel.
    ``ORDINARY``: keys and values are both the other's, as in the published code and in cross-attention elsewhere.
    """

    PAPER = "paper"
    ORDINARY = "ordinary"


def soft_pool(values: torch.Tensor, size: int = 2) -> torch.Tensor:
    """Mean of each block by the exponential of its values (Stergiou et al., ICCV 2021).

    Parameters
    ----------
    values : (cases, channels, a, b, c). size : side of a block.

    >>> round(float(soft_pool(torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 4, 1, 1).expand(1, 1, 4, 4, 4), 4)), 4)
    3.4927
    """
    weights = torch.exp(values - values.amax(dim=(2, 3, 4), keepdim=True)).clamp(min=1e-20)
    return functional.avg_pool3d(weights * values, size) / functional.avg_pool3d(weights, size)


class CrossAttentionFusion(nn.Module):
    """CMAF: each channel asks the other; what they are and what they found is pooled, added and weighed.

    Parameters
    ----------
    channels : of both volumes. width : of queries, keys and values. pool : side of a pooled block; 1 pools nothing.
    pairing : see :class:`Pairing`.
    """

    def __init__(self, channels: int, width: int, pool: int = 2, pairing: str = Pairing.ORDINARY) -> None:
        super().__init__()
        self.pool, self.pairing = pool, Pairing(pairing)
        self.of_x, self.of_y = (nn.Conv3d(channels, 3 * width, 1) for _ in range(2))
        self.back_x, self.back_y = (nn.Conv3d(width, channels, 1) for _ in range(2))
        self.tell_x, self.tell_y = (nn.Linear(channels, channels) for _ in range(2))
        self.gamma = nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(cases, tokens, channels) of each, from two volumes (cases, channels, a, b, c) of one shape."""
        (q1, k1, v1), (q2, k2, v2) = (conv(one).chunk(3, 1) for conv, one in ((self.of_x, x), (self.of_y, y)))
        first, second = (v1, v2) if self.pairing is Pairing.PAPER else (v2, v1)
        found_x, found_y = self.back_x(_asked(q1, k2, first)), self.back_y(_asked(q2, k1, second))
        tokens = [self._pooled(found) + self._pooled(own) for found, own in ((found_x, x), (found_y, y))]
        gamma = 2.0 * self.gamma.softmax(dim=0)
        told = (tell(one) for tell, one in zip((self.tell_x, self.tell_y), tokens, strict=True))
        # a softmax over channels sums to 1: times their number its mean is 1, and nothing drowns in what comes next
        a, b = (weight * one.shape[2] * one.softmax(dim=2) for weight, one in zip(gamma, told, strict=True))
        return a, b

    def _pooled(self, volume: torch.Tensor) -> torch.Tensor:
        """(cases, tokens, channels)"""
        small = soft_pool(volume, self.pool) if self.pool > 1 else volume
        return small.flatten(2).transpose(1, 2)


def _asked(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """(cases, width, a, b, c): each place of the query the mean of values by its likeness to the keys."""
    q, k, v = (one.flatten(2).transpose(1, 2) for one in (query, key, value))
    found = functional.scaled_dot_product_attention(q, k, v)
    return found.transpose(1, 2).reshape(value.shape)


class SelfAttentionFusion(nn.Module):
    """MHSAF: all tokens ask each other; residual and norm.

    Parameters
    ----------
    channels, heads : of the attention. dropout : of its weights.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.norm = nn.LayerNorm(channels, eps=1e-12)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(cases, tokens, channels) of the same shape."""
        found, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        told: torch.Tensor = self.norm(tokens + found)
        return told

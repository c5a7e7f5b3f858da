"""AttentionMixer: a head asks the record, and an MLP-Mixer weighs what both say.

Re-implementation after Ansary Ogholbake et al., arXiv 2603.26726, whose layer sizes are not public: the order of the
blocks is theirs (feature of the image as query, variables as keys and values, a mixer, one logit, an embedding for
what is missing), sizes are this project's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import nn

from dicomnode.zoo.networks.variable_tokens import CrossAttention, Gaps, MixerBlock, VariableTokens


class Channels(StrEnum):
    """What a network is shown; those that see one channel alone are there for comparison."""

    FUSED = "fused"
    IMAGE = "image"
    RECORD = "record"


@dataclass(frozen=True, slots=True, kw_only=True)
class MixerSize:
    """Sizes and parts of a fusion.

    Attributes
    ----------
    width, heads, blocks, hidden : of tokens, attention, mixer, and its layers across tokens.
    attends, mixes : with cross-attention, with a mixer; without they are there for comparison.
    gaps : what stands for a variable that is not known.
    lost : largest share of the variables withheld in training. dropout : in the mixer, and of the image's features.
    """

    width: int = 32
    heads: int = 4
    blocks: int = 1
    hidden: int = 32
    attends: bool = True
    mixes: bool = True
    gaps: str = Gaps.LEARNED
    lost: float = 0.5
    dropout: float = 0.2


PAPER = MixerSize(width=256, heads=8, blocks=2, hidden=64)
IMAGE_LOST = 0.1
"""Share of the images that are withheld in training where records are shown too."""


class AttentionMixer(nn.Module):
    """Features of a head and variables -> log odds.

    Parameters
    ----------
    features, variables : how many of each.
    channels : of which the network is shown.
    size : of its parts.

    Attributes
    ----------
    mean, deviation : (features,) of the training heads, set by whoever trains.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self, features: int, variables: int, channels: str = Channels.FUSED, size: MixerSize | None = None
    ) -> None:
        super().__init__()
        self.channels, self.size = Channels(channels), size or MixerSize()
        width, dropout = self.size.width, self.size.dropout
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, width), nn.GELU(), nn.Linear(width, width))
        self.no_head = nn.Parameter(torch.randn(width) * width**-0.5)
        self.record = VariableTokens(variables, width, self.size.gaps, self.size.lost)
        self.ask = CrossAttention(width, self.size.heads) if self.size.attends else None
        tokens = 1 + variables + self.size.attends
        blocks = [MixerBlock(tokens, width, self.size.hidden, dropout) for _ in range(self.size.blocks)]
        self.mixer = nn.Sequential(*blocks) if self.size.mixes else nn.Identity()
        self.norm, self.logit = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, features: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
        """(patients,) log odds, from (patients, features) and (patients, variables); NaN is what is not known."""
        return self.explained(features, variables)[0]

    def explained(self, features: torch.Tensor, variables: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log odds, and (patients, heads, variables) weights of the attention; None without one."""
        if self.channels is Channels.IMAGE:
            variables = torch.full_like(variables, torch.nan)
        head, record = self._read(features), self.record(variables)
        tokens, weights = [head[:, None], record], None
        if self.ask is not None:
            found, weights = self.ask(head, record)
            tokens.insert(1, found[:, None])
        mixed = self.mixer(torch.cat(tokens, dim=1))
        logits: torch.Tensor = self.logit(self.norm(mixed.mean(dim=1)))[:, 0]
        return logits, weights

    def _read(self, features: torch.Tensor) -> torch.Tensor:
        """(patients, width) of the heads; what was learned in its place where there is no image."""
        there = torch.isfinite(features).all(dim=1, keepdim=True)
        if self.channels is Channels.RECORD:
            there = torch.zeros_like(there)
        elif self.channels is Channels.FUSED and self.training:
            there = there & (torch.rand(there.shape, device=there.device) >= IMAGE_LOST)
        scaled = (torch.nan_to_num(features) - self.mean) / self.deviation
        return torch.where(there, self.head(scaled.clamp(-6.0, 6.0)), self.no_head)

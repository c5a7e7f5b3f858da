"""ICHPro's fusion of vision and text, with what is measured and recorded as tokens beside them.

Re-implementation after Yu et al., ISBI 2024 (arXiv 2402.11307): both channels are brought to volumes (TRT, VRT), ask
each other (CMAF), then all tokens ask each other (MHSAF), and a 1D DenseNet-121 judges. Own: tokens of the measured
bleed, of the record, of what a text answers to the reader's questions and of the text as a whole join before the
self-attention (the rebuilt text knows the likeness of its words to each other alone); a line and a small perceptron
over all tokens are added to what the DenseNet says: what age does to a large bleed is a product of two tokens, and a
convolution along them finds few of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from monai.networks.nets import DenseNet
from torch import nn

from dicomnode.zoo.networks.variable_tokens import VariableTokens
from dicomnode.zoo.prognosis.attention import CrossAttentionFusion, Pairing, SelfAttentionFusion, soft_pool
from dicomnode.zoo.prognosis.reconstruct import TextReconstruction, VisionReconstruction
from dicomnode.zoo.prognosis.words import LENGTH


class Channels(StrEnum):
    """What a network is shown; those that see a part alone are there for comparison."""

    FUSED = "fused"
    IMAGE = "image"
    RECORD = "record"


class Way(StrEnum):
    """In which order the channels ask each other and themselves; the paper's own is cross, then self."""

    SELF = "self"
    CROSS = "cross"
    SELF_SELF = "self-self"
    SELF_CROSS = "self-cross"
    CROSS_CROSS = "cross-cross"
    CROSS_SELF = "cross-self"


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionSize:
    """Sizes of a fusion.

    Attributes
    ----------
    channels, grid : of the rebuilt volumes. scales : of the four up-sampling layers. width, heads : of the attentions.
    growth, init, blocks : of the 1D DenseNet. products : hidden width of the perceptron over all tokens.
    dropout : of the self-attention. features_lost, lost : of the image's features; largest share of the variables that
        is withheld in training.
    """

    channels: int = 16
    grid: int = 4
    scales: tuple[int, ...] = (1, 1, 2, 2)
    width: int = 16
    heads: int = 4
    growth: int = 8
    init: int = 16
    blocks: tuple[int, ...] = (2, 4, 8, 4)
    dropout: float = 0.1
    features_lost: float = 0.1
    products: int = 64
    lost: float = 0.1


PAPER = FusionSize(
    channels=256,
    grid=8,
    scales=(2, 2, 2, 1),
    width=64,
    heads=16,
    growth=32,
    init=64,
    blocks=(6, 12, 24, 16),
    dropout=0.5,
    features_lost=0.0,
    lost=0.0,
)
IMAGE_LOST = 0.1
"""Share of the images that are withheld in training."""


class Told(NamedTuple):
    """What a fusion says while it learns.

    Attributes
    ----------
    logits : (patients,) log odds of a poor outcome.
    vision, text : (2, patients, channels) of each channel alone, in two views by dropout.
    seen : (patients,) bool, of whom there is an image.
    """

    logits: torch.Tensor
    vision: torch.Tensor
    text: torch.Tensor
    seen: torch.Tensor


class PrognosisFusion(nn.Module):
    """Features of a head, the measured bleed, variables and a read text -> log odds of a poor outcome.

    Parameters
    ----------
    features, facts, variables, text_width : sizes of the four inputs. answers : that stand before the words of a text.
    channels : of which the network is shown. way, pairing : of the attention. size : of its parts.

    Attributes
    ----------
    mean, deviation : (features,) of the training heads, set by whoever trains.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        features: int,
        facts: int,
        variables: int,
        text_width: int,
        *,
        answers: int = 0,
        channels: str = Channels.FUSED,
        way: str = Way.CROSS_SELF,
        pairing: str = Pairing.ORDINARY,
        size: FusionSize | None = None,
    ) -> None:
        super().__init__()
        size = size or FusionSize()
        self.channels, self.answers = Channels(channels), answers
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.no_head = nn.Parameter(torch.zeros(features))
        self.drop = nn.Dropout(size.features_lost)
        self.vision = VisionReconstruction(features, size.channels, size.scales)
        self.text = TextReconstruction(LENGTH, size.channels, size.grid)
        self.measured = VariableTokens(facts, size.channels)
        self.record = VariableTokens(variables, size.channels, lost=size.lost)
        self.answered = nn.Parameter(torch.randn(answers, text_width, size.channels) * text_width**-0.5)
        self.said = nn.Linear(2 * text_width, size.channels)
        self.joint = JointAttention(size, Way(way), pairing)
        tokens = 2 * (size.grid // 2) ** 3 + facts + variables + answers + 1
        self.judge = Judge(size, tokens, asks=way.endswith("self"))

    def forward(
        self, features: torch.Tensor, facts: torch.Tensor, variables: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor | Told:
        """(patients,) log odds; in training with what the additional losses need.

        Parameters
        ----------
        features, facts, variables : (patients, ...) NaN is what is not known; a head without features has no image.
        text : (patients, answers + LENGTH, width) of any float type, zeros where it has ended.
        """
        text = text.float()
        features, facts, variables, text = self._shown(features, facts, variables, text)
        answers, text = text[:, : self.answers], text[:, self.answers :]
        seen = self._seen(features)
        vision, words = self._volumes(features, seen, text)
        said = [torch.einsum("naw,awc->nac", answers, self.answered), self.said(pooled_text(text))[:, None]]
        tokens = [self.joint(vision, words), self.measured(facts), self.record(variables), *said]
        logits: torch.Tensor = self.judge(torch.cat(tokens, dim=1))
        if not self.training:
            return logits
        again = self._volumes(features, seen, text)
        first, second = (torch.stack([a, b]).mean(dim=(3, 4, 5)) for a, b in zip((vision, words), again, strict=True))
        return Told(logits, first, second, seen)

    def _seen(self, features: torch.Tensor) -> torch.Tensor:
        """(patients,) of whom there is an image; in training a tenth of them is withheld."""
        there = torch.isfinite(features).all(dim=1)
        return there & (torch.rand(there.shape, device=there.device) >= IMAGE_LOST) if self.training else there

    def _volumes(
        self, features: torch.Tensor, seen: torch.Tensor, text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = ((torch.nan_to_num(features) - self.mean) / self.deviation).clamp(-6.0, 6.0)
        heads = self.drop(torch.where(seen[:, None], scaled, self.no_head))
        return self.vision(heads[:, :, None, None, None]), self.text(self.drop(text))

    def _shown(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What these channels hold; a network of the image alone reads no text and no record."""
        features, facts, variables, text = inputs
        if self.channels is Channels.IMAGE:
            return features, facts, torch.full_like(variables, torch.nan), torch.zeros_like(text)
        if self.channels is Channels.RECORD:
            return torch.full_like(features, torch.nan), torch.full_like(facts, torch.nan), variables, text
        return inputs


def pooled_text(text: torch.Tensor) -> torch.Tensor:
    """(texts, 2 * width) the first vector and the maximum of all, of (texts, tokens, width)."""
    return torch.cat([text[:, 0], text.amax(dim=1)], dim=1)


class JointAttention(nn.Module):
    """Two volumes -> tokens of both, by the attentions of a way but a last one of its own, which is the judge's."""

    def __init__(self, size: FusionSize, way: Way, pairing: str) -> None:
        super().__init__()
        names = way.split("-")
        asks_itself = names[0] == "self" and len(names) > 1
        attention = SelfAttentionFusion(size.channels, size.heads, size.dropout)
        self.before = attention if asks_itself else nn.Identity()
        pools = [2, 1][: names.count("cross")]
        self.crosses = nn.ModuleList([CrossAttentionFusion(size.channels, size.width, pool, pairing) for pool in pools])

    def forward(self, vision: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """(cases, tokens, channels) from two volumes (cases, channels, a, b, c)."""
        if not self.crosses:
            vision, text = soft_pool(vision), soft_pool(text)
        tokens: torch.Tensor = self.before(torch.cat([vision.flatten(2), text.flatten(2)], dim=2).transpose(1, 2))
        for cross in self.crosses:
            tokens = torch.cat(cross(*_volumes(tokens)), dim=1)
        return tokens


def _volumes(tokens: torch.Tensor) -> list[torch.Tensor]:
    """Two cubes (cases, channels, side, side, side) from the tokens of both."""
    side = round((tokens.shape[1] // 2) ** (1 / 3))
    return [half.transpose(1, 2).reshape(len(half), -1, side, side, side) for half in tokens.chunk(2, dim=1)]


class Judge(nn.Module):
    """Tokens -> log odds: a number for each by one line, then a 1D DenseNet; what came in is judged directly, too.

    Parameters
    ----------
    tokens : how many there are. asks : do all tokens ask each other first?
    """

    def __init__(self, size: FusionSize, tokens: int, asks: bool) -> None:
        super().__init__()
        self.asking = SelfAttentionFusion(size.channels, size.heads, size.dropout) if asks else nn.Identity()
        self.number = nn.Linear(size.channels, 1)
        self.dense = DenseNet(
            spatial_dims=1,
            in_channels=1,
            out_channels=1,
            init_features=size.init,
            growth_rate=size.growth,
            block_config=size.blocks,
        )
        self.line = nn.Linear(tokens * size.channels, 1)
        self.products = nn.Sequential(
            nn.Linear(tokens * size.channels, size.products),
            nn.GELU(),
            nn.Dropout(2 * size.dropout),
            nn.Linear(size.products, 1),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(cases,) from (cases, tokens, channels)."""
        told = self.asking(tokens)
        numbers = self.number(told).transpose(1, 2)
        whole = tokens.flatten(1)
        logits: torch.Tensor = (self.dense(numbers) + self.line(whole) + self.products(whole))[:, 0]
        return logits

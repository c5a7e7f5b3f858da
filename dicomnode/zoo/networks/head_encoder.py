"""Encoders of whole heads: a vector of each head for models that judge it with what else is known of the patient.

What it is taught: the painted facts of a head (:mod:`dicomnode.zoo.networks.head_facts`), in each token and as a whole.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from dicomnode.zoo.networks.head_facts import FACTS, KINDS
from dicomnode.zoo.networks.head_grid import WINDOW_HU, as_floats

WIDTH = 96
"""Of the vectors of the tokens."""
BINS_HU = (-30.0, -20.0, -14.0, -10.0, -7.0, -4.0, -1.0, 2.0, 6.0, 12.0, 20.0, 30.0, 40.0, 50.0)
"""From the brain; finer where oedema and infarct are."""
BLOCK = (4, 8, 8)
TOKEN_ML, MOST_LOG = 0.2, 6.0
"""Volumes of tokens are told as logarithms of 1 + mL / this, up to so much."""
LEAST_ML = 0.2
BLOOD, DARK = ("intraparenchymal", "intraventricular", "extra_axial"), ("oedema", "infarct")
SHARES_SCALE = 4.0
"""Shares of single bins are small numbers."""


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


class Histograms(nn.Module):
    """How much of each small block of a head has which attenuation, about the brain; nothing is learned.

    The head is smoothed by three voxels first, so that noise is not taken for dark or bright tissue. Each value counts
    for the two bins that it lies between.
    """

    centres: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        low, high = WINDOW_HU
        steps = [2.0 * (hu - low) / (high - low) - 1.0 for hu in BINS_HU]
        self.register_buffer("centres", torch.tensor(steps), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, bins, 8, 12, 12) shares that sum to 1, from (heads, 1, 32, 96, 96) steps of the window."""
        smooth = nn.functional.avg_pool3d(as_floats(image), 3, stride=1, padding=1, count_include_pad=False)
        # of each block the share above a centre, less that above the next: a ramp leads from one to the other
        ramps = [
            nn.functional.avg_pool3d(((smooth - low) / (high - low)).clamp(0.0, 1.0), BLOCK)
            for low, high in pairwise(self.centres.tolist())
        ]
        above = torch.cat([torch.ones_like(ramps[0]), *ramps, torch.zeros_like(ramps[0])], dim=1)
        return above[:, :-1] - above[:, 1:]


class ConvEncoder(nn.Module):
    """Histograms of small blocks, each beside that of its mirror image, through convolutions down to tokens.

    Parameters
    ----------
    width : of the tokens.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.histograms = Histograms()
        self.alone = nn.Sequential(
            nn.Conv3d(2 * len(BINS_HU), width, 2, stride=2), nn.GELU(), nn.Conv3d(width, width, 1), nn.GELU()
        )
        self.around = nn.Conv3d(width, width, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, width, 4, 6, 6) from (heads, 1, 32, 96, 96) steps of the window, or from their histograms."""
        shares = self.histograms(image) if image.shape[1] == 1 else image
        # left and right of a head are alike but for what is wrong with it
        alone = self.alone(SHARES_SCALE * torch.cat([shares, shares - shares.flip(-1)], dim=1))
        tokens: torch.Tensor = nn.functional.gelu(alone + self.around(alone))
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
        summed = 2 * width + len(KINDS) + 2 * (width + 3)
        self.of_head = nn.Sequential(nn.Linear(summed, width), nn.GELU(), nn.Linear(width, len(FACTS)))

    def forward(self, image: torch.Tensor) -> Told:
        """What it says of (heads, 1, 32, 96, 96) steps of the window."""
        tokens = self.tokens(image)
        pooled, told = pooled_of(tokens), self.of_token(tokens)
        volumes_ml = TOKEN_ML * torch.expm1(told.clamp(0.0, MOST_LOG))
        totals = torch.log1p(volumes_ml.sum(dim=(2, 3, 4)))
        parts = [lesion_of(tokens, volumes_ml, kinds) for kinds in (BLOOD, DARK)]
        return Told(pooled, self.of_head(torch.cat([pooled, totals, *parts], dim=1)), told)


def lesion_of(tokens: torch.Tensor, volumes_ml: torch.Tensor, kinds: tuple[str, ...]) -> torch.Tensor:
    """(heads, width + 3) mean of the tokens, and of their places from -1 to 1, by the volume of some kinds in each."""
    weight = volumes_ml[:, [KINDS.index(kind) for kind in kinds]].sum(dim=1).flatten(1)
    share = weight / (weight.sum(dim=1, keepdim=True) + LEAST_ML)
    lines = [torch.linspace(-1.0, 1.0, count, device=tokens.device) for count in tokens.shape[2:]]
    places = torch.stack(torch.meshgrid(*lines, indexing="ij")).flatten(1)
    return torch.cat([torch.einsum("ndt,nt->nd", tokens.flatten(2), share), share @ places.T], dim=1)


def pooled_of(tokens: torch.Tensor) -> torch.Tensor:
    """(heads, 2 * width) mean and maximum over the tokens (heads, width, ...)."""
    flat = tokens.flatten(2)
    return torch.cat([flat.mean(dim=2), flat.amax(dim=2)], dim=1)

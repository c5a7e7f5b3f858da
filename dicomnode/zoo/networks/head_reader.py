"""A reader of whole heads: marks what lies in each place of the grid, and tells facts of the whole head from that.

A small U-Net sees each slab of the grid (:mod:`dicomnode.zoo.networks.head_grid`) with its neighbours and its mirror
image, and says of every place of 4 x 4 x 5 mm what share of it each kind of finding has, and how dark it is. What is
marked, added up, gives the facts that models of an outcome read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from dicomnode.zoo.networks.head_facts import KINDS
from dicomnode.zoo.networks.head_grid import SHAPE, VOXEL_ML, above_brain_hu

READ = (*(kind for kind in KINDS if kind != "calcium"), "darkness", "atrophy")
"""Facts: logarithms of 1 + mL, HU by which oedema or infarct lies below its surroundings, and 0 to 1."""
WIDTHS = (24, 48, 72)
FACTOR = 2
"""Rows and columns of the grid in each place."""
PLACES = (SHAPE[0], SHAPE[1] // FACTOR, SHAPE[2] // FACTOR)
PLACE_ML = VOXEL_ML * FACTOR**2
DARK_HU, BRIGHT_HU = 15.0, 25.0
DEPTH_HU = 8.0
"""Scale of the depth that is told of each place."""
DARK = ("oedema", "infarct")
LEAST_ML = 0.2
OUTPUTS = len(KINDS) + 1
SEEN = 2 * 3 * FACTOR**2 + 3 * FACTOR**2 + 2
"""Channels of a slab: dark window and its mirror image, bright window, of three slabs; height and row."""


class Marked(NamedTuple):
    """What a reader says of slabs.

    Attributes
    ----------
    shares : (slabs, kinds, 48, 48) log odds. depth : (slabs, 48, 48) HU / ``DEPTH_HU``.
    deep : (slabs, WIDTHS[-1]) mean of the deepest level.
    """

    shares: torch.Tensor
    depth: torch.Tensor
    deep: torch.Tensor


class SlabNet(nn.Module):
    """A U-Net of three levels over single slabs."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.down0, self.down1, self.down2 = _twice(SEEN, first), _twice(first, second), _twice(second, third)
        self.up1, self.up0 = _twice(third + second, second), _twice(second + first, first)
        self.out = nn.Conv2d(first, OUTPUTS, 1)

    def forward(self, slabs: torch.Tensor) -> Marked:
        """What it says of (slabs, SEEN, 48, 48)."""
        fine = self.down0(slabs)
        middle = self.down1(nn.functional.max_pool2d(fine, 2))
        coarse = self.down2(nn.functional.max_pool2d(middle, 2))
        middle = self.up1(torch.cat([_doubled(coarse), middle], dim=1))
        fine = self.up0(torch.cat([_doubled(middle), fine], dim=1))
        said = self.out(fine).float()
        return Marked(said[:, :-1], said[:, -1], coarse.float().mean(dim=(2, 3)))


def _twice(before: int, after: int) -> nn.Sequential:
    layers = list[nn.Module]()
    for width in (before, after):
        layers += [nn.Conv2d(width, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def _doubled(image: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(image, scale_factor=2.0, mode="nearest")


def slabs_of(image: torch.Tensor) -> torch.Tensor:
    """(heads, 32, SEEN, 48, 48) what the network is shown of (heads, 1, 32, 96, 96) steps of the window."""
    above_hu = above_brain_hu(image)[:, 0]
    dark, bright = (above_hu / DARK_HU).clamp(-2.0, 1.5), (above_hu / BRIGHT_HU).clamp(-1.0, 2.0)
    shown = [*_beside(dark), *_beside(dark.flip(-1)), *_beside(bright)]
    finer = nn.functional.pixel_unshuffle(torch.stack(shown, dim=2), FACTOR)
    heads, (slabs, rows, columns) = len(image), PLACES
    z = torch.linspace(-1.0, 1.0, slabs, device=finer.device)[None, :, None, None, None]
    y = torch.linspace(-1.0, 1.0, rows, device=finer.device)[None, None, None, :, None]
    size = (heads, slabs, 1, rows, columns)
    return torch.cat([finer, z.expand(size), y.expand(size)], dim=2)


def _beside(slabs: torch.Tensor) -> list[torch.Tensor]:
    """Slabs, those below and those above; beyond the last stands the last."""
    below = torch.cat([slabs[:, :1], slabs[:, :-1]], dim=1)
    above = torch.cat([slabs[:, 1:], slabs[:, -1:]], dim=1)
    return [below, slabs, above]


def summary_of(marked: Marked, image: torch.Tensor) -> torch.Tensor:
    """(heads, SUMMARY) what is marked in whole heads, added up.

    Parameters
    ----------
    marked : of all slabs of the heads, head after head. image : the heads, (heads, 1, 32, 96, 96).
    """
    heads = len(image)
    shares = marked.shares.sigmoid().reshape(heads, PLACES[0], len(KINDS), -1)
    depth = marked.depth.reshape(heads, PLACES[0], -1)
    volumes_ml = shares.sum(dim=(1, 3)) * PLACE_ML
    sure_ml = (shares * (shares > 0.5)).sum(dim=(1, 3)) * PLACE_ML
    dark = shares[:, :, [KINDS.index(kind) for kind in DARK]].amax(dim=2)
    dark_ml = dark.sum(dim=(1, 2)) * PLACE_ML
    depths = (dark * depth).sum(dim=(1, 2)) * PLACE_ML / (dark_ml + LEAST_ML)
    deep = marked.deep.reshape(heads, PLACES[0], -1).mean(dim=1)
    parts = [volumes_ml.log1p(), sure_ml.log1p(), shares.amax(dim=(1, 3)), depths[:, None], dark_ml.log1p()[:, None]]
    return torch.cat([*parts, lowest_of(image, shares), deep], dim=1)


def lowest_of(image: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """(heads, dark kinds x quantiles) how dark the darkest of what is marked is, in ``DARK_HU``; 0 where nothing is.

    Its mean says less: edges are shared with clot and with brain.
    """
    smooth = nn.functional.avg_pool2d(
        above_brain_hu(image)[:, 0], 3 * FACTOR, stride=FACTOR, padding=FACTOR, count_include_pad=False
    )
    places, at = smooth.flatten(2) / DARK_HU, [KINDS.index(kind) for kind in DARK]
    quantiles = torch.tensor(LOWEST, device=image.device)
    rows = [
        torch.cat([_quantiles(values[share > MARKED], quantiles) for share in of_head[:, at].unbind(dim=1)])
        for values, of_head in zip(places, shares, strict=True)
    ]
    return torch.stack(rows)


def _quantiles(values: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return torch.quantile(values, wanted) if len(values) >= LEAST_PLACES else torch.zeros_like(wanted)


LOWEST, MARKED, LEAST_PLACES = (0.1, 0.25, 0.5), 0.5, 8
"""Quantiles of what is marked with at least this probability in so many places."""
SUMMARY = 3 * len(KINDS) + 2 + len(DARK) * len(LOWEST) + WIDTHS[-1]
HIDDEN, LOST = 48, 0.2


class FactsTeller(nn.Module):
    """Facts from what is marked.

    Attributes
    ----------
    mean, deviation : (SUMMARY,) of the heads that it learned from.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(SUMMARY))
        self.register_buffer("deviation", torch.ones(SUMMARY))
        self.line = nn.Linear(SUMMARY, len(READ))
        self.bent = nn.Sequential(
            nn.Dropout(LOST), nn.Linear(SUMMARY, HIDDEN), nn.GELU(), nn.Dropout(LOST), nn.Linear(HIDDEN, len(READ))
        )

    def forward(self, summary: torch.Tensor) -> torch.Tensor:
        """(heads, facts) of (heads, SUMMARY); no volume, darkness or atrophy lies below 0."""
        scaled = ((summary - self.mean) / self.deviation).clamp(-6.0, 6.0)
        told: torch.Tensor = self.line(scaled) + self.bent(scaled)
        return told if self.training else told.clamp(min=0.0)


class HeadReader(nn.Module):
    """Heads -> facts."""

    width = len(READ)

    def __init__(self) -> None:
        super().__init__()
        self.slabs, self.teller = SlabNet(), FactsTeller()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, facts) as :data:`READ`, of (heads, 1, 32, 96, 96) steps of the window."""
        told: torch.Tensor = self.teller(self.summary(image))
        return told

    def summary(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, SUMMARY) what is marked, added up."""
        return summary_of(self.slabs(slabs_of(image).flatten(0, 1)), image)

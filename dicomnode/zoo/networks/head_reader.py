"""A reader of whole heads: marks what lies in each place of the grid, and tells facts of the whole head from that.

A small U-Net sees each slab of the grid (:mod:`dicomnode.zoo.networks.head_grid`) with its neighbours and its mirror
image, and says of every place of 4 x 4 x 5 mm what share of it each kind of finding has, and how dark it is. What is
marked, added up, gives the facts that models of an outcome read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from dicomnode.zoo.networks.head_facts import KINDS
from dicomnode.zoo.networks.head_grid import SHAPE, VOXEL_ML, above_brain_hu

READ = (*(kind for kind in KINDS if kind != "calcium"), "darkness", "atrophy")
"""Facts: logarithms of 1 + mL, HU by which oedema or infarct lies below its surroundings, and 0 to 1."""
WIDTHS = (32, 64, 128, 192)
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
FARTHER, NEARER = (-2, -1, 0, 1, 2), (-1, 0, 1)
"""Slabs that are shown beside each: in the dark window; in its mirror image and in the bright window."""
SEEN = (len(FARTHER) + 2 * len(NEARER)) * FACTOR**2 + 3
"""Channels of a slab: the dark window, its mirror image, the bright window; height, row, distance from the middle."""


class Marked(NamedTuple):
    """What a reader says of slabs.

    Attributes
    ----------
    shares : (slabs, kinds, 48, 48) log odds. depth : (slabs, 48, 48) HU / ``DEPTH_HU``.
    fine : (slabs, WIDTHS[0], 48, 48) what both are told from. deep : (slabs, WIDTHS[-1]) mean of the deepest level.
    """

    shares: torch.Tensor
    depth: torch.Tensor
    fine: torch.Tensor
    deep: torch.Tensor


class SlabNet(nn.Module):
    """A U-Net over single slabs; each level has half the rows and columns of the one above."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(_twice(before, after) for before, after in pairwise((SEEN, *WIDTHS)))
        self.up = nn.ModuleList(_twice(fine + coarse, fine) for fine, coarse in pairwise(WIDTHS))
        self.out = nn.Conv2d(WIDTHS[0], OUTPUTS, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, slabs: torch.Tensor) -> Marked:
        """What it says of (slabs, SEEN, 48, 48)."""
        levels = [self.down[0](slabs)]
        for down in self.down[1:]:
            levels.append(down(nn.functional.max_pool2d(levels[-1], 2)))
        fine = levels[-1]
        for up, level in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            fine = up(torch.cat([_doubled(fine), level], dim=1))
        said = self.out(fine).float()
        return Marked(said[:, :-1], said[:, -1], fine.float(), levels[-1].float().mean(dim=(2, 3)))


def _twice(before: int, after: int) -> nn.Sequential:
    layers = list[nn.Module]()
    for width in (before, after):
        layers += [nn.Conv2d(width, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def _doubled(image: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(image, scale_factor=2.0, mode="nearest")


def all_slabs_of(image: torch.Tensor) -> torch.Tensor:
    """(heads x 32, SEEN, 48, 48) what the network is shown of (heads, 1, 32, 96, 96), head after head."""
    heads, slabs = len(image), PLACES[0]
    return slabs_of(image, torch.arange(heads).repeat_interleave(slabs), torch.arange(slabs).repeat(heads))


def slabs_of(image: torch.Tensor, head: torch.Tensor, slab: torch.Tensor) -> torch.Tensor:
    """(slabs, SEEN, 48, 48) what the network is shown of some slabs.

    Parameters
    ----------
    image : (heads, 1, 32, 96, 96) steps of the window. head, slab : (slabs,) numbers of both.
    """
    above_hu = above_brain_hu(image)[:, 0]
    dark, bright = (above_hu / DARK_HU).clamp(-2.0, 1.5), (above_hu / BRIGHT_HU).clamp(-1.0, 2.0)
    near = _beside(dark, head, slab, NEARER)
    shown = [_beside(dark, head, slab, FARTHER), near.flip(-1), _beside(bright, head, slab, NEARER)]
    finer = nn.functional.pixel_unshuffle(torch.cat(shown, dim=1), FACTOR)
    together = torch.cat([finer, _places(slab.to(finer.device))], dim=1)
    return together.contiguous(memory_format=torch.channels_last)


def _beside(values: torch.Tensor, head: torch.Tensor, slab: torch.Tensor, steps: Sequence[int]) -> torch.Tensor:
    """(slabs, steps, 96, 96) those so many below and above; beyond the last stands the last."""
    at = (slab[:, None] + torch.tensor(steps)).clamp(0, PLACES[0] - 1)
    return values[head[:, None], at]


def _places(slab: torch.Tensor) -> torch.Tensor:
    """(slabs, 3, 48, 48) height and row from -1 to 1, distance from the middle from 0 to 1."""
    _, rows, columns = PLACES
    z = (2.0 * slab / (PLACES[0] - 1) - 1.0)[:, None, None].expand(-1, rows, columns)
    y = torch.linspace(-1.0, 1.0, rows, device=slab.device)[:, None].expand_as(z)
    x = torch.linspace(-1.0, 1.0, columns, device=slab.device).abs().expand_as(z)
    return torch.stack([z, y, x], dim=1)


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
    return torch.cat([*parts, lowest_of(image, shares), deep, _within(marked.fine, shares)], dim=1)


def marks_of(marked: Marked) -> torch.Tensor:
    """(heads, kinds, 32, 48, 48) share of each place that each kind of finding has, of all slabs of the heads."""
    shares = marked.shares.sigmoid()
    return shares.reshape(-1, PLACES[0], *shares.shape[1:]).transpose(1, 2)


def _within(fine: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """(heads, dark kinds x WIDTHS[0]) means of what the finest level holds, within each dark kind."""
    by_head = fine.reshape(len(shares), PLACES[0], WIDTHS[0], -1)
    dark = shares[:, :, [KINDS.index(kind) for kind in DARK]]
    total_ml = dark.sum(dim=(1, 3)) * PLACE_ML
    sums = torch.einsum("hskp,hswp->hkw", dark, by_head) * PLACE_ML
    return (sums / (total_ml + LEAST_ML)[:, :, None]).flatten(1)


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
SUMMARY = 3 * len(KINDS) + 2 + len(DARK) * (len(LOWEST) + WIDTHS[0]) + WIDTHS[-1]
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
        return self.told(self.look(image), image)

    def look(self, image: torch.Tensor) -> Marked:
        """What is marked in all slabs of the heads, head after head."""
        marked: Marked = self.slabs(all_slabs_of(image))
        return marked

    def look_again(self, image: torch.Tensor, like: Marked, changed: torch.Tensor) -> Marked:
        """As :meth:`look`, of heads that are like one that it knows but for some slabs: no other is looked at.

        Parameters
        ----------
        like : what is marked in the head that is known, (32, ...).
        changed : (heads, 32) bool, slabs in which each head differs from that one.
        """
        reach = 2 * max(FARTHER) + 1
        near = nn.functional.max_pool1d(changed.float()[:, None], reach, stride=1, padding=reach // 2)[:, 0] > 0.0
        head, slab = near.nonzero(as_tuple=True)
        parts = [part.repeat(len(image), *[1] * (part.ndim - 1)) for part in like]
        if len(head):
            looked: Marked = self.slabs(slabs_of(image, head, slab))
            for part, new in zip(parts, looked, strict=True):
                part[near.flatten()] = new
        return Marked(*parts)

    def told(self, marked: Marked, image: torch.Tensor) -> torch.Tensor:
        """(heads, facts) from what :meth:`look` marked in these heads."""
        facts: torch.Tensor = self.teller(summary_of(marked, image))
        return facts

    def summary(self, image: torch.Tensor) -> torch.Tensor:
        """(heads, SUMMARY) what is marked, added up."""
        return summary_of(self.look(image), image)

"""What the decoders' tokens become: the change of every voxel and its chance of blood, and that of the exam."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import avg_pool3d, interpolate

from dicomnode.zoo.followup.grid import VOXEL_ML, inner
from dicomnode.zoo.followup.sizes import FollowUpSize
from dicomnode.zoo.networks.in_plane import Expanding

HIDDEN = 24
CHANGE_HU = 10.0
"""The network counts changes in this unit."""
CUT_HU = ((-30.0, 50.0), (-20.0, 150.0))
"""What of a voxel's HU the head of the scan sees, in the same unit: a change depends on what is there."""
DENSE_HU = (-20.0, 120.0)
"""The same of the densest of a slab: staining as dense as metal lies in the middle."""
KINDS = 2
"""Of voxels that the first scan is searched for: stained brain, and dead brain."""
LEAST_ML, DENSE_UNIT_HU = 0.1, 50.0
EVIDENCE, WEIGHED = 2 + KINDS, 16
"""Numbers that the maps come down to, and hidden units that weigh them."""
AROUND, POOLED = 16, (1, 2, 2)
"""Maps of what lies around a voxel, and voxels that one of theirs holds."""
GAIN = 4.0
"""Of what a voxel is itself: ten HU are to count as much as a token."""
FADING_HU = 150.0
"""Of what is denser than the brain by up to so much a share may fade: contrast medium does."""
RARE, FIRST_GUESS = -4.0, 0.02
"""Log odds of blood in a voxel before anything is learned, and deviation of the first weights: all but no change."""


class Surroundings(nn.Module):
    """Voxels -> what lies around each, some 2 cm far.

    The encoder speaks to the decoders through attention alone, which says where a token looks and not what is there;
    that an infarct is a little darker than its surroundings would be lost.

    Parameters
    ----------
    channels : of the voxels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels, AROUND, AROUND, AROUND)
        steps = [(nn.Conv3d(a, b, 3, padding=1), nn.GELU()) for a, b in pairwise(widths)]
        self.steps = nn.Sequential(*(layer for step in steps for layer in step))

    def forward(self, voxels: torch.Tensor) -> torch.Tensor:
        """(heads, slabs, rows, columns, maps) of (heads, channels, slabs, rows, columns)."""
        seen = self.steps(avg_pool3d(voxels, POOLED, ceil_mode=True))
        around = interpolate(seen, size=voxels.shape[2:], mode="trilinear", align_corners=False)
        return around.permute(0, 2, 3, 4, 1)


class ScanHead(nn.Module):
    """Tokens and the voxels that they are of -> HU to be added, log odds of blood, and of what the first scan shows.

    What is added has two parts: HU, and a share of what the voxel is denser than brain, which fades.

    Parameters
    ----------
    size : of the network. channels : of the voxels. told : numbers that say of when the second scan is.
    """

    def __init__(self, size: FollowUpSize, channels: int, told: int) -> None:
        super().__init__()
        self.around = Surroundings(channels)
        self.expand = Expanding(size.width, size.width, size.patch)
        seen = size.width + channels + AROUND + told
        self.mix = nn.Sequential(nn.Linear(seen, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 3 + KINDS))
        last = self.mix[2]
        assert isinstance(last, nn.Linear)
        # not zero: what is shared would get no gradient, and the other task would have it for itself
        nn.init.normal_(last.weight, std=FIRST_GUESS)
        last.bias.data.copy_(torch.tensor([0.0, *[RARE] * (2 + KINDS)]))

    def forward(
        self, tokens: torch.Tensor, voxels: torch.Tensor, hu: torch.Tensor, told: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """HU and log odds, both (heads, slabs, rows, columns), and log odds (heads, kinds, slabs, rows, columns).

        Parameters
        ----------
        tokens : (heads, ..., width) of the first level. voxels : (heads, channels, slabs, rows, columns).
        hu : (heads, slabs, rows, columns) from the brain's commonest.
        told : (heads, numbers).
        """
        a, b, c = hu.shape[1:]
        spread = self.expand(tokens)[:, :a, :b, :c]
        own = GAIN * voxels.permute(0, 2, 3, 4, 1)
        when = told[:, None, None, None].expand(-1, a, b, c, -1)
        change, fade, blood, *kinds = self.mix(torch.cat([spread, own, self.around(voxels), when], dim=-1)).unbind(
            dim=-1
        )
        faded = torch.sigmoid(fade) * hu.clamp(0.0, FADING_HU)
        return CHANGE_HU * change - faded, blood, torch.stack(kinds, dim=1)


class ExamHead(nn.Module):
    """Tokens, and what the maps of the other task come down to -> log odds that the exam to come shows blood.

    Tokens are weighed by a score of their own, not averaged: what matters is small, and heads fill a grid differently.

    Parameters
    ----------
    width : of the tokens.
    told : are there maps to go by? They are learned from every voxel, an exam from one number.
    """

    def __init__(self, width: int, told: bool) -> None:
        super().__init__()
        self.norm, self.score, self.logit = nn.LayerNorm(width), nn.Linear(width, 1), nn.Linear(2 * width, 1)
        self.weigh = nn.Sequential(nn.Linear(EVIDENCE, WEIGHED), nn.GELU(), nn.Linear(WEIGHED, 1)) if told else None

    def forward(self, tokens: torch.Tensor, evidence: torch.Tensor | None) -> torch.Tensor:
        """(heads,) from tokens (heads, slabs, rows, columns, width) and evidence (heads, 4)."""
        flat = self.norm(tokens).flatten(1, 3)
        weighed = (torch.softmax(self.score(flat), dim=1) * flat).sum(dim=1)
        logits: torch.Tensor = self.logit(torch.cat([weighed, flat.amax(dim=1)], dim=1))[:, 0]
        return logits if self.weigh is None or evidence is None else logits + self.weigh(evidence)[:, 0]


def evidence_of(blood_logit: torch.Tensor, kind_logit: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    """(heads, 4) of the maps: logarithms of the mL to be expected of blood and of each kind, and how dense staining is.

    Parameters
    ----------
    blood_logit, kind_logit : (heads, slabs, rows, columns), and (heads, kinds, slabs, rows, columns).
    head : (heads, 3, slabs, rows, columns), see :class:`dicomnode.zoo.followup.grid.FollowUpHead`.
    """
    # at the edge bone is dense, and no pair teaches what the maps say there
    brain, densest = inner(head[:, 1]).float(), head[:, 2]
    chance = torch.sigmoid(torch.cat([blood_logit[:, None], kind_logit], dim=1)) * brain[:, None]
    expected_ml = chance.sum(dim=(2, 3, 4)) * VOXEL_ML
    density = (chance[:, 1] * densest).amax(dim=(1, 2, 3)) / DENSE_UNIT_HU
    return torch.cat([torch.log(expected_ml + LEAST_ML), density[:, None]], dim=1)

"""What the tokens of the scan's decoder become: the change of every voxel, its chance of blood, and what it is now."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import avg_pool3d, interpolate

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
        pooled = avg_pool3d(voxels, POOLED, ceil_mode=True)
        # two heads take a third of the time of one: torch keeps its quick convolution from a batch of one this small
        alone = pooled.device.type == "cpu" and len(pooled) == 1
        seen = self.steps(pooled.expand(2, -1, -1, -1, -1))[:1] if alone else self.steps(pooled)
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

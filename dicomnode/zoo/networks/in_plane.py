"""Patches of a volume merged and spread in the plane of its slices; along the slices nothing changes.

References: Liu et al., ICCV 2021 (Swin: patch merging); Liu et al., CVPR 2022 (Video Swin: merging in the plane alone).
"""

from __future__ import annotations

import torch
from monai.networks.nets.swin_unetr import PatchMergingV2
from torch import nn


class InPlaneMerging(nn.Module):
    """Four neighbours of a slice become one token of twice the width, by MONAI's merging of planes.

    Parameters
    ----------
    width : of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.merge = PatchMergingV2(width, spatial_dims=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Half of the rows and columns, rounded up, twice the width: of (volumes, slabs, rows, columns, width)."""
        planes = self.merge(x.flatten(0, 1))
        merged: torch.Tensor = planes.reshape(*x.shape[:2], *planes.shape[1:])
        return merged


class Expanding(nn.Module):
    """One token becomes a block of tokens: a linear layer, whose output is dealt out in space.

    Parameters
    ----------
    width, narrower : of a token before and after. block : tokens (slabs, rows, columns) that it becomes.
    """

    def __init__(self, width: int, narrower: int, block: tuple[int, int, int] = (1, 2, 2)) -> None:
        super().__init__()
        self.block = block
        self.expand = nn.Linear(width, narrower * block[0] * block[1] * block[2], bias=False)
        self.norm = nn.LayerNorm(narrower)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(volumes, a * slabs, b * rows, c * columns, narrower) from (volumes, slabs, rows, columns, width)."""
        a, b, c = self.block
        volumes, slabs, rows, columns, _ = x.shape
        dealt = self.expand(x).reshape(volumes, slabs, rows, columns, a, b, c, -1).permute(0, 1, 4, 2, 5, 3, 6, 7)
        spread: torch.Tensor = self.norm(dealt.reshape(volumes, a * slabs, b * rows, c * columns, -1))
        return spread

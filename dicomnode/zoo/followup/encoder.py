"""The encoder: Swin blocks whose patches are merged in the plane alone."""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.followup.conditions import Conditions
from dicomnode.zoo.followup.sizes import FollowUpSize
from dicomnode.zoo.networks.in_plane import InPlaneMerging
from dicomnode.zoo.networks.windows import SwinLevel


class FollowUpEncoder(nn.Module):
    """A head -> its tokens at every level; the last one is the bottleneck.

    Parameters
    ----------
    size : of it. channels : of the head.
    """

    def __init__(self, size: FollowUpSize, channels: int) -> None:
        super().__init__()
        self.embed = nn.Conv3d(channels, size.width, size.patch, size.patch)
        self.norm = nn.LayerNorm(size.width)
        self.levels = nn.ModuleList(
            [
                SwinLevel(width, heads, depth, size.window)
                for width, depth, heads in zip(size.widths, size.depths, size.heads, strict=True)
            ]
        )
        self.merges = nn.ModuleList([InPlaneMerging(width) for width in size.widths[:-1]])

    def forward(self, head: torch.Tensor, conditions: Conditions, told: torch.Tensor) -> list[torch.Tensor]:
        """(heads, slabs, rows, columns, width) of each level, from (heads, channels, slabs, rows, columns) voxels."""
        x = self.norm(self.embed(head).permute(0, 2, 3, 4, 1))
        levels: list[torch.Tensor] = []
        for number, level in enumerate(self.levels):
            x = level(conditions.applied(x, told, number))
            levels.append(x)
            if number < len(self.merges):
                x = self.merges[number](x)
        return levels

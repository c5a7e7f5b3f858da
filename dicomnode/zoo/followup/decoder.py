"""The twin decoders, and the maps of attention by which the encoder speaks to both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from dicomnode.zoo.followup.sizes import FollowUpSize
from dicomnode.zoo.networks.in_plane import Expanding
from dicomnode.zoo.networks.windows import AttentionMap, MappedBlock, Windows


class Map(NamedTuple):
    """A map of attention, and the windows that it is of."""

    attention: torch.Tensor
    windows: Windows


class Maps(nn.Module):
    """The encoder's tokens -> a map of attention for each block of a decoder.

    Parameters
    ----------
    size : of the network.
    """

    def __init__(self, size: FollowUpSize) -> None:
        super().__init__()
        self.window = size.window
        self.levels = nn.ModuleList(
            [
                nn.ModuleList([AttentionMap(width, heads, size.window) for _ in range(depth)])
                for width, heads, depth in zip(size.widths[:-1], size.heads[:-1], size.depths[:-1], strict=True)
            ]
        )

    def forward(self, levels: Sequence[torch.Tensor]) -> list[list[Map]]:
        """Maps of each block of each level above the bottleneck, the finest level first."""
        return [
            [self._map(block, tokens, shifted=left == 0) for left, block in _counted_down(level)]
            for level, tokens in zip(self.levels, levels[:-1], strict=True)
        ]

    def _map(self, block: nn.Module, tokens: torch.Tensor, *, shifted: bool) -> Map:
        a, b, c = tokens.shape[1:4]
        windows = Windows.of((a, b, c), self.window, shifted=shifted)
        return Map(block(tokens, windows), windows)


def _counted_down(level: nn.Module) -> list[tuple[int, nn.Module]]:
    """Blocks, each with how many follow: the last of a level is shifted, so that one block alone crosses windows."""
    blocks = list(level.children())
    return [(len(blocks) - 1 - place, block) for place, block in enumerate(blocks)]


class TaskDecoder(nn.Module):
    """From the bottleneck up to the tokens of the first level; where it looks is given, what it sees is its own.

    Parameters
    ----------
    size : of the network.
    """

    def __init__(self, size: FollowUpSize) -> None:
        super().__init__()
        self.expands = nn.ModuleList([Expanding(2 * width, width) for width in size.widths[:-1]])
        self.levels = nn.ModuleList(
            [
                nn.ModuleList([MappedBlock(width, heads) for _ in range(depth)])
                for width, heads, depth in zip(size.widths[:-1], size.heads[:-1], size.depths[:-1], strict=True)
            ]
        )

    def forward(self, bottleneck: torch.Tensor, maps: Sequence[Sequence[Map]]) -> torch.Tensor:
        """(heads, slabs, rows, columns, width) of the first level."""
        x = bottleneck
        for level in reversed(range(len(maps))):
            a, b, c = maps[level][0].windows.shape
            x = self.expands[level](x)[:, :a, :b, :c]
            for block, one in zip(self.levels[level].children(), maps[level], strict=True):
                x = block(x, one.attention, one.windows)
        return x

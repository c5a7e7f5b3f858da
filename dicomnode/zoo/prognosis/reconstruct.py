"""Both channels brought to one shape: TRT for text, VRT for vision (ICHPro, arXiv 2402.11307, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class TextReconstruction(nn.Module):
    """TRT: the Gram matrix of the tokens, each of its rows through one FC, as a volume.

    The paper gives no scale; the matrix is divided by the root of the width, so that it does not grow with it.

    Parameters
    ----------
    tokens : of a text. channels, grid : of the volume; ``tokens`` must divide ``channels * grid ** 3``.
    """

    def __init__(self, tokens: int, channels: int, grid: int) -> None:
        super().__init__()
        self.shape = (channels, grid, grid, grid)
        self.row = nn.Linear(tokens, channels * grid**3 // tokens)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        """(texts, channels, grid, grid, grid) from (texts, tokens, width)."""
        gram = text @ text.transpose(1, 2) / text.shape[2] ** 0.5
        rebuilt: torch.Tensor = self.row(gram).reshape(len(text), *self.shape)
        return rebuilt


class VisionReconstruction(nn.Module):
    """VRT: an FC, then four up-sampling layers, each trilinear with a double convolution.

    Parameters
    ----------
    features, channels : of what comes in and of the volume.
    scales : of the four layers.
    """

    def __init__(self, features: int, channels: int, scales: Sequence[int] = (1, 1, 2, 2)) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(features, channels, 1)
        self.up = nn.Sequential(*(_up(channels, scale) for scale in scales))

    def forward(self, vision: torch.Tensor) -> torch.Tensor:
        """(heads, channels, ...) from (heads, features, a, b, c); each side is multiplied by all scales."""
        rebuilt: torch.Tensor = self.up(self.reduce(vision))
        return rebuilt


def _up(channels: int, scale: int) -> nn.Sequential:
    larger = nn.Upsample(scale_factor=scale, mode="trilinear") if scale > 1 else nn.Identity()
    return nn.Sequential(larger, *_convolved(channels), *_convolved(channels))


def _convolved(channels: int) -> list[nn.Module]:
    return [nn.Conv3d(channels, channels, 3, padding=1), nn.BatchNorm3d(channels), nn.ReLU()]

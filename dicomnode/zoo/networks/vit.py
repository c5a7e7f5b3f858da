"""A vision transformer for volumes.

Sizes follow ViT-AE++ (Prabhakar et al., MIDL 2023), whose code is read and not copied; the layers are those of torch,
so no further package is needed.
Reference: Dosovitskiy et al., ICLR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from dicomnode.zoo.networks.head_grid import SHAPE, as_floats

Sizes = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VitSize:
    """How large a transformer and its decoder are.

    Attributes
    ----------
    volume, patch : voxels (slabs, rows, columns); the patches fill the volume.
    width, layers, heads : of the encoder; the hidden width of its layers is four times ``width``.
    decoder_width, decoder_layers, decoder_heads : of the decoder of the masked autoencoder.
    """

    volume: Sizes
    patch: Sizes
    width: int
    layers: int
    heads: int
    decoder_width: int
    decoder_layers: int
    decoder_heads: int

    @property
    def tokens(self) -> Sizes:
        """Patches along each axis."""
        a, b, c = (whole // part for whole, part in zip(self.volume, self.patch, strict=True))
        return a, b, c

    @property
    def voxels(self) -> int:
        """Of a patch."""
        return int(np.prod(self.patch))


FAST = VitSize(
    volume=SHAPE,
    patch=(8, 16, 16),
    width=96,
    layers=4,
    heads=4,
    decoder_width=48,
    decoder_layers=2,
    decoder_heads=4,
)
PAPER = VitSize(
    volume=(96, 96, 96),
    patch=(8, 8, 8),
    width=768,
    layers=12,
    heads=12,
    decoder_width=512,
    decoder_layers=8,
    decoder_heads=16,
)
"""ViT-B of ViT-AE++: encoder of 85.5 million weights, decoder of 25.9 million."""


class VitEncoder(nn.Module):
    """A volume -> one vector for each of its patches.

    Parameters
    ----------
    size : of volume and layers.
    """

    places: torch.Tensor

    def __init__(self, size: VitSize = FAST) -> None:
        super().__init__()
        self.size = size
        self.embedding = nn.Conv3d(1, size.width, size.patch, size.patch)
        self.register_buffer("places", places_of(size.tokens, size.width), persistent=False)
        self.layers = transformer(size.width, size.layers, size.heads)
        self.norm = nn.LayerNorm(size.width)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(volumes, width, ...) vectors on the grid of the patches, from (volumes, 1, ...) steps of the window."""
        read: torch.Tensor = self.norm(self.layers(self.embedded(image)))
        return read.transpose(1, 2).reshape(len(read), -1, *self.size.tokens)

    def embedded(self, image: torch.Tensor) -> torch.Tensor:
        """(volumes, patches, width) before the layers."""
        embedded: torch.Tensor = self.embedding(as_floats(image)).flatten(2).transpose(1, 2) + self.places
        return embedded


def places_of(tokens: Sizes, width: int) -> torch.Tensor:
    """(patches, width) sines and cosines of each axis, which tell a patch where it lies; they are not learned.

    A sixth of the width each, what is left over is 0. Reference: Vaswani et al., NeurIPS 2017, section 3.5.
    """
    count = width // 6
    rates = 1.0 / 10000 ** (torch.arange(count) / max(count, 1))
    grids = torch.meshgrid(*(torch.arange(n) for n in tokens), indexing="ij")
    parts = [wave(grid.flatten()[:, None] * rates) for grid in grids for wave in (torch.sin, torch.cos)]
    return nn.functional.pad(torch.cat(parts, dim=1), (0, width - 6 * count))


def transformer(width: int, layers: int, heads: int) -> nn.TransformerEncoder:
    """Layers that norm first, four times as wide inside."""
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True, activation="gelu"
    )
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

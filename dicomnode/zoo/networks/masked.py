"""The masked autoencoder that trains a transformer without labels, in the style of ViT-AE++.

Beside the patches that were taken out it learns edges and the likeness of two views of a head. The perceptual loss of
the published code has no gradient there and the weight 0: it is left out, and views are compared by their means, since
each has patches of its own.
References: He et al., CVPR 2022; Prabhakar et al., MIDL 2023 (ViT-AE++); Chen and He, CVPR 2021 (SimSiam).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from dicomnode.zoo.networks.head_grid import as_floats
from dicomnode.zoo.networks.vit import FAST, VitEncoder, VitSize, places_of, transformer


class Views(NamedTuple):
    """What the autoencoder makes of heads and of a changed view of each.

    Attributes
    ----------
    target : (heads, 1, ...) the heads. decoded : the same, filled in. gone : (heads, patches) which were taken out.
    asked, kept : (2 * heads, width) of the heads and of their views, through the predictor and as they are.
    """

    target: torch.Tensor
    decoded: torch.Tensor
    gone: torch.Tensor
    asked: torch.Tensor
    kept: torch.Tensor


class SelfSupervised(nn.Module):
    """Autoencoder, and the predictor that compares views.

    Parameters
    ----------
    size : of the autoencoder.
    """

    def __init__(self, size: VitSize = FAST) -> None:
        super().__init__()
        self.autoencoder = MaskedAutoencoder(size)
        self.predictor = nn.Sequential(nn.Linear(size.width, size.width), nn.GELU(), nn.Linear(size.width, size.width))

    def forward(self, image: torch.Tensor) -> Views:
        """Heads (heads, 1, ...) and a view of each that is drawn anew."""
        target = as_floats(image)
        decoded, gone, first = self.autoencoder(target)
        _, _, second = self.autoencoder(changed(target))
        kept = torch.cat([first, second])
        return Views(target, decoded, gone, self.predictor(kept), kept)


def changed(image: torch.Tensor) -> torch.Tensor:
    """A view of each head: moved and turned a little, gamma 0.7 to 1.3, noise of 0.1."""
    heads = len(image)
    matrix = torch.eye(3, 4).repeat(heads, 1, 1) + torch.randn(heads, 3, 4) * 0.03
    grid = nn.functional.affine_grid(matrix.to(image.device), list(image.shape), align_corners=False)
    moved = nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    gamma = (torch.rand(heads, 1, 1, 1, 1, device=image.device) - 0.5) * 0.6 + 1.0
    bright = ((moved + 1.0) / 2.0).clamp(1e-4, 1.0) ** gamma
    return bright * 2.0 - 1.0 + torch.randn_like(image) * 0.1


class MaskedAutoencoder(nn.Module):
    """Encoder, and a decoder that fills in the patches that were taken out.

    Parameters
    ----------
    size : of both. taken_out : share of the patches.
    """

    def __init__(self, size: VitSize = FAST, taken_out: float = 0.75) -> None:
        super().__init__()
        self.taken_out = taken_out
        self.encoder = VitEncoder(size)
        self.decoder = VitDecoder(size)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Fill in what is taken out, which is drawn anew each time.

        Returns
        -------
        (volumes, 1, ...) the whole volume as decoded; (volumes, patches) bool, which were taken out; (volumes, width)
        mean of what the encoder says of the others.
        """
        embedded = self.encoder.embedded(image)
        kept, gone = self._drawn(embedded)
        seen = self.encoder.norm(self.encoder.layers(embedded[~gone].reshape(len(image), kept, -1)))
        return self.decoder(seen, gone), gone, seen.mean(dim=1)

    def _drawn(self, embedded: torch.Tensor) -> tuple[int, torch.Tensor]:
        """How many patches stay, and (volumes, patches) which go."""
        volumes, patches, _ = embedded.shape
        kept = max(1, round(patches * (1.0 - self.taken_out)))
        rank = torch.rand(volumes, patches, device=embedded.device).argsort(dim=1).argsort(dim=1)
        return kept, rank >= kept


class VitDecoder(nn.Module):
    """Vectors of the patches that were kept -> all voxels.

    Parameters
    ----------
    size : of the autoencoder.
    """

    places: torch.Tensor

    def __init__(self, size: VitSize = FAST) -> None:
        super().__init__()
        self.size = size
        self.enter = nn.Linear(size.width, size.decoder_width)
        self.gap = nn.Parameter(torch.randn(size.decoder_width) * 0.02)
        self.register_buffer("places", places_of(size.tokens, size.decoder_width), persistent=False)
        self.layers = transformer(size.decoder_width, size.decoder_layers, size.decoder_heads)
        self.norm = nn.LayerNorm(size.decoder_width)
        self.voxels = nn.Linear(size.decoder_width, size.voxels)

    def forward(self, seen: torch.Tensor, gone: torch.Tensor) -> torch.Tensor:
        """(volumes, 1, ...) from (volumes, kept, width) in the order of the patches, and (volumes, patches) bool."""
        all_patches = self.gap.expand(*gone.shape, -1).clone()
        all_patches[~gone] = self.enter(seen).flatten(0, 1)
        decoded = self.voxels(self.norm(self.layers(all_patches + self.places)))
        return unpatched(decoded, self.size)


def unpatched(patches: torch.Tensor, size: VitSize) -> torch.Tensor:
    """(volumes, 1, slabs, rows, columns) from (volumes, patches, voxels of a patch)."""
    blocks = patches.reshape(len(patches), *size.tokens, *size.patch)
    return blocks.permute(0, 1, 4, 2, 5, 3, 6).reshape(len(patches), 1, *size.volume)


def patched(volumes: torch.Tensor, size: VitSize) -> torch.Tensor:
    """(volumes, patches, voxels of a patch) from (volumes, 1, slabs, rows, columns): undoes :func:`unpatched`."""
    a, b, c = size.patch
    blocks = volumes.reshape(len(volumes), size.tokens[0], a, size.tokens[1], b, size.tokens[2], c)
    return blocks.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(1, 3)

"""The piece of brain that is most surely stained: which it is, what lies about it, and networks that look at it alone.

How dense staining is decides most of what comes of it, and a few HU about the line of metal are told better from the
piece as it looks than from a handful of numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

TOUCHING = np.ones((3, 3, 3), bool)
HALF, MARGIN = (5, 12, 12), (1, 2, 2)
"""Voxels (slabs, rows, columns) on each side of its middle, and how far of those the window may be moved in."""
CROP = tuple(2 * half for half in HALF)
WINDOW = tuple(side - 2 * margin for side, margin in zip(CROP, MARGIN, strict=True))
LIMITS_HU, UNIT_HU = (-50.0, 150.0), 50.0
LAYERS = 5
"""HU, the densest of each slab, the space within the skull, chance of staining, chance of dead brain."""
WIDTH, HIDDEN, LOST = 16, 48, 0.1
Values = NDArray[np.float32]


class Piece(NamedTuple):
    """A piece of staining.

    Attributes
    ----------
    mask : (slabs, rows, columns) where it lies. held : how many voxels' worth it holds.
    """

    mask: NDArray[np.bool_]
    held: float


def surest(chance: Values, sure: float) -> Piece | None:
    """The piece that holds most of what is surely stained; None where there is none.

    Parameters
    ----------
    chance : (slabs, rows, columns) that a voxel is stained. sure : from where on it counts.
    """
    labels, count = ndimage.label(chance > sure, TOUCHING)
    if not count:
        return None
    held = ndimage.sum_labels(chance, labels, np.arange(1, count + 1))
    return Piece(labels == 1 + int(np.argmax(held)), float(held.max()))


def crop_of(piece: Piece | None, stained: Values, dead: Values, head: Values) -> Values:
    """(LAYERS, *CROP) what lies about the densest part of a piece; about the likeliest voxel where there is none.

    Parameters
    ----------
    stained, dead : (slabs, rows, columns) chances. head : (3, slabs, rows, columns), see
        :class:`dicomnode.zoo.followup.grid.FollowUpHead`.
    """
    hu, within, densest = head
    layers = np.stack([hu, densest, UNIT_HU * within, UNIT_HU * stained, UNIT_HU * dead])
    low, high = LIMITS_HU
    around = [(0, 0), *((half, half) for half in HALF)]
    padded = np.pad(layers.clip(low, high), around, constant_values=low)
    a, b, c = (slice(at, at + side) for at, side in zip(_middle(piece, stained, densest), CROP, strict=True))
    return np.asarray(padded[:, a, b, c] / UNIT_HU, np.float32)


def _middle(piece: Piece | None, stained: Values, densest: Values) -> tuple[int, ...]:
    if piece is None:
        return tuple(int(at) for at in np.unravel_index(int(stained.argmax()), stained.shape))
    weight = piece.mask * (stained * densest.clip(0.0, 100.0) + 1e-6)
    return tuple(round(at) for at in ndimage.center_of_mass(weight))


class PieceReader(nn.Module):
    """What lies about the piece -> facts of the first scan, in deviations from their mean.

    Parameters
    ----------
    facts : how many.
    """

    def __init__(self, facts: int) -> None:
        super().__init__()
        self.near = nn.Sequential(*_twice(LAYERS, WIDTH))
        self.far = nn.Sequential(nn.MaxPool3d((1, 2, 2)), *_twice(WIDTH, 2 * WIDTH))
        self.tell = nn.Sequential(nn.Dropout(LOST), nn.Linear(5 * WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, facts))

    def forward(self, crop: torch.Tensor) -> torch.Tensor:
        """(pieces, facts) of (pieces, LAYERS, *CROP): of its middle and its mirror image, averaged."""
        middle = moved(crop, (0, 0, 0))
        # one batch: torch keeps its quick convolution from a batch of one this small
        one, other = self.of_window(torch.cat([middle, middle.flip(-1)])).chunk(2)
        told: torch.Tensor = (one + other) / 2.0
        return told

    def of_window(self, window: torch.Tensor) -> torch.Tensor:
        """(pieces, facts) of (pieces, LAYERS, *WINDOW)."""
        near = self.near(window)
        far = self.far(near)
        told: torch.Tensor = self.tell(
            torch.cat([near.amax(dim=(2, 3, 4)), far.mean(dim=(2, 3, 4)), far.amax(dim=(2, 3, 4))], dim=1)
        )
        return told


def moved(crop: torch.Tensor, by: tuple[int, int, int]) -> torch.Tensor:
    """(pieces, LAYERS, *WINDOW) of crops, moved from the middle by at most ``MARGIN``."""
    starts = [margin + step for margin, step in zip(MARGIN, by, strict=True)]
    a, b, c = (slice(start, start + side) for start, side in zip(starts, WINDOW, strict=True))
    return crop[:, :, a, b, c]


def _twice(before: int, after: int) -> list[nn.Module]:
    layers = list[nn.Module]()
    for width in (before, after):
        layers += [nn.Conv3d(width, after, 3, padding=1), nn.ReLU()]
    return layers

"""What a network gives that judges pixels and, in a second branch, whole slices."""

from __future__ import annotations

from typing import NamedTuple

import torch


class PixelsAndSlices(NamedTuple):
    """Logits of the two branches.

    Attributes
    ----------
    pixels : (batch, findings, rows, columns), of the input's size.
    slices : (batch, 1).
    """

    pixels: torch.Tensor
    slices: torch.Tensor

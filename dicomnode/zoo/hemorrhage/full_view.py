"""A network that computes on pixels of half the resolution and decides on whole ones.

The core sees four pixels as channels of one, which costs a quarter of the time; where a thin film ends between two of
them it can only guess. A last convolution at full resolution sees its answer beside the slice itself. Reference: Shi et
al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, CVPR
2016 (the shuffle).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution

FACTOR = 2
SLOPE = 0.1


class FullView(torch.nn.Module):
    """Unshuffle, core, shuffle, and two convolutions beside the slice at full resolution.

    Parameters
    ----------
    core : (batch, 4 x channels, rows / 2, columns / 2) -> (batch, 4 x ``coarse``, rows / 2, columns / 2).
    seen : channels of the image that the last convolutions see again: those of the slice itself.
    coarse : channels of the core's answer at full resolution.
    hidden : channels between the last two convolutions.
    outputs : findings.
    """

    def __init__(self, core: torch.nn.Module, seen: Sequence[int], coarse: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.core, self.seen = core, list(seen)
        activation = ("leakyrelu", {"negative_slope": SLOPE, "inplace": True})
        self.look = Convolution(2, coarse + len(self.seen), hidden, norm="batch", act=activation)
        self.decide = torch.nn.Conv2d(hidden, outputs, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(batch, channels, rows, columns), both even -> (batch, outputs, rows, columns) logits."""
        coarse = torch.nn.functional.pixel_unshuffle(image, FACTOR)
        answer = torch.nn.functional.pixel_shuffle(self.core(coarse), FACTOR)
        logits: torch.Tensor = self.decide(self.look(torch.cat([answer, image[:, self.seen]], dim=1)))
        return logits

"""The network of the fast configuration: a small residual U-Net whose blocks can be skipped while it learns.

Built of MONAI's convolutions; the residual blocks give the noisy student something to skip (stochastic depth), which
MONAI's own BasicUNet does not have. References: Ronneberger et al., MICCAI 2015 (U-Net); He et al., CVPR 2016
(residual block); Huang et al., ECCV 2016 (stochastic depth).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import DropPath

SLOPE = 0.1
ACTIVATION = ("leakyrelu", {"negative_slope": SLOPE, "inplace": True})


class ResidualBlock(torch.nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; :class:`DropPath` leaves them out for a sample at random.

    Parameters
    ----------
    inputs, outputs : channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Convolution(2, inputs, outputs, norm="batch", act=ACTIVATION)
        self.second = Convolution(2, outputs, outputs, norm="batch", act=None)
        self.skip = DropPath(0.0)
        self.shortcut = torch.nn.Identity() if inputs == outputs else torch.nn.Conv2d(inputs, outputs, 1)
        self.activation = torch.nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(batch, inputs, rows, columns) -> (batch, outputs, rows, columns)."""
        result: torch.Tensor = self.activation(self.shortcut(image) + self.skip(self.second(self.first(image))))
        return result


class ResidualUNet(torch.nn.Module):
    """Encoder and decoder of residual blocks, for images of any size from 2 to the power of the levels.

    Parameters
    ----------
    in_channels, out_channels : of the image and of the logits.
    features : channels of each level, from the finest.
    """

    def __init__(self, in_channels: int, out_channels: int, features: Sequence[int] = (24, 48, 80, 112, 160)) -> None:
        super().__init__()
        steps = list(pairwise(features))
        self.stem = Convolution(2, in_channels, features[0], norm="batch", act=ACTIVATION)
        self.encoder = torch.nn.ModuleList(
            [ResidualBlock(features[0], features[0]), *(ResidualBlock(fine, coarse) for fine, coarse in steps)]
        )
        self.dropout = torch.nn.Dropout2d(0.0)
        self.narrow = torch.nn.ModuleList([torch.nn.Conv2d(coarse, fine, 1) for fine, coarse in reversed(steps)])
        self.decoder = torch.nn.ModuleList([ResidualBlock(2 * fine, fine) for fine, _ in reversed(steps)])
        self.head = torch.nn.Conv2d(features[0], out_channels, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, rows, columns) -> (batch, out_channels, rows, columns) logits."""
        levels = [self.encoder[0](self.stem(image))]
        for block in self.encoder[1:]:
            levels.append(block(torch.nn.functional.max_pool2d(levels[-1], 2)))
        result = self.dropout(levels.pop())
        for narrow, block in zip(self.narrow, self.decoder, strict=True):
            fine = levels.pop()
            raised = torch.nn.functional.interpolate(narrow(result), fine.shape[-2:], mode="bilinear")
            result = block(torch.cat([fine, raised], dim=1))
        logits: torch.Tensor = self.head(result)
        return logits

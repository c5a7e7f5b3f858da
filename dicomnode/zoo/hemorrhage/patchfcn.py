"""PatchFCN on a dilated residual network (DRN-D-38): the ``paper`` configuration of the haemorrhage model.

Two branches share one backbone of output stride 8: pixels (1 x 1 convolution, bilinear up) and slice (pooled features).
Where the sources leave a choice it is named in the docstrings.

References: Yu, Koltun and Funkhouser, Dilated Residual Networks, CVPR 2017 (arXiv 1705.09914), architecture D; Kuo et
al., PatchFCN, arXiv 1806.03265 and PNAS 2019;116:22737; Lin and Yuh, semi-supervised haemorrhage detection; Huang et
al., Deep Networks with Stochastic Depth, ECCV 2016 (linear decay).
"""

from __future__ import annotations

import torch
from monai.networks.layers import DropPath
from torch import nn

from dicomnode.zoo.networks.branches import PixelsAndSlices

BLOCKS = ((64, 3, 2, 1), (128, 4, 2, 1), (256, 6, 1, 2), (512, 3, 1, 4))
"""Residual levels of DRN-D-38: channels, blocks, stride, dilation."""
FEATURES = 512


def _conv_unit(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; ``drop_path`` skips the convolutions of a whole sample in training.

    Parameters
    ----------
    dilation : of both convolutions.
    drop_path : chance to skip, linearly rising with depth (stochastic depth).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int, drop_path: float) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _conv_unit(inputs, outputs, stride=stride, dilation=dilation),
            nn.Conv2d(outputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.drop_path = DropPath(drop_path)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, inputs, rows, columns) -> (batch, outputs, rows / stride, columns / stride)."""
        summed: torch.Tensor = self.shortcut(x) + self.drop_path(self.residual(x))
        return torch.relu(summed)


class DilatedResNet38(nn.Module):
    """DRN-D-38 without its classifier: 26.0 M parameters, output stride 8, 512 channels.

    Parameters
    ----------
    channels : of the input.
    drop_path : chance of the deepest block to be skipped in training; the first block's is 1/16 of it.
    """

    def __init__(self, channels: int = 3, drop_path: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_unit(channels, 16, kernel=7), _conv_unit(16, 16), _conv_unit(16, 32, stride=2)]
        count, built, width = sum(blocks for _, blocks, _, _ in BLOCKS), 0, 32
        for outputs, blocks, stride, dilation in BLOCKS:
            for index in range(blocks):
                built += 1
                first = index == 0
                layers.append(BasicBlock(width, outputs, stride if first else 1, dilation, drop_path * built / count))
                width = outputs
        layers += [_conv_unit(width, FEATURES, dilation=2), _conv_unit(FEATURES, FEATURES)]
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, rows, columns) -> (batch, 512, rows / 8, columns / 8), rounded up."""
        features: torch.Tensor = self.layers(x)
        return features


class PatchFCN(nn.Module):
    """Pixel and slice logits of a slice with its neighbours.

    The form of the slice branch is our reading (the sources say only that there is one): the mean and the maximum of
    the features over the slice, dropout, one linear layer. The maximum lets a bleed of a few pixels count.

    Parameters
    ----------
    channels : of the input: 3 for a slice and its neighbours in one window, -40 to 160 HU scaled to 0 to 1.
    dropout : before both heads, in training.
    drop_path : stochastic depth of the backbone, in training.
    """

    def __init__(self, channels: int = 3, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.backbone = DilatedResNet38(channels, drop_path)
        self.pixel_head = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(FEATURES, 1, 1))
        self.slice_head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * FEATURES, 1))

    def forward(self, x: torch.Tensor) -> PixelsAndSlices:
        """Logits from (batch, channels, rows, columns)."""
        features = self.backbone(x)
        pixels = nn.functional.interpolate(
            self.pixel_head(features), size=x.shape[-2:], mode="bilinear", align_corners=False
        )
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return PixelsAndSlices(pixels, self.slice_head(pooled))

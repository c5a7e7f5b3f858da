"""DeepMedic: a 3D network that sees a voxel's surroundings at several resolutions at once.

Three paths of eight unpadded 3 x 3 x 3 layers read the same 1 mm volume at every fifth, every third and every voxel;
two hidden layers of 1 x 1 x 1 join what they found. Built as the published network for traumatic brain injury that
segments four kinds of lesion, after its paper and the shapes in its state dictionary, which
:mod:`~dicomnode.zoo.networks.published` reads.

References: Kamnitsas et al., Medical Image Analysis 36 (2017) 61 (the network); Monteiro, Newcombe et al., Lancet
Digital Health 2 (2020) e314 (this form of it, and its weights); He et al., ECCV 2016 (pre-activation).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise

import torch

SCALES = (5, 3, 1)
PATH_MAPS = (30, 30, 40, 40, 40, 40, 50, 50)
HIDDEN_MAPS = (250, 250)
WINDOW_HU = (-15.0, 100.0)
VOXEL_MM = 1.0


class TraumaClass(IntEnum):
    """What the channels of the published weights stand for."""

    BACKGROUND = 0
    INTRAPARENCHYMAL = 1
    EXTRA_AXIAL = 2
    OEDEMA = 3
    INTRAVENTRICULAR = 4


class PreActivated(torch.nn.Module):
    """Normalisation, activation, unpadded convolution; added to the middle of the input where the maps are as many."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm3d(inputs)
        self.activation = torch.nn.PReLU()
        self.conv = torch.nn.Conv3d(inputs, outputs, kernel, bias=False)
        self.rim = kernel // 2
        self.adds = inputs == outputs

    def scale_and_shift(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(inputs,) each: what the normalisation multiplies with and adds, once it has learned."""
        mean, variance = self.norm.get_buffer("running_mean"), self.norm.get_buffer("running_var")
        scale = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        return scale, self.norm.bias - mean * scale

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(batch, inputs, z, y, x) -> (batch, outputs, z - 2 rim, y - 2 rim, x - 2 rim)."""
        result: torch.Tensor = self.conv(activated(self.norm(maps), self.activation))
        return result.add_(trimmed(maps, self.rim)) if self.adds else result


class DeepMedic(torch.nn.Module):
    """The network. :func:`dicomnode.zoo.networks.dense.class_probabilities` runs it over any box of a volume.

    Parameters
    ----------
    classes : channels of the answer.
    scales : of the paths; path k reads every ``scales[k]``-th voxel, the last one every voxel.
    path_maps, hidden_maps : channels of the layers of each path, and of the layers that join them.
    """

    def __init__(
        self,
        classes: int = len(TraumaClass),
        scales: Sequence[int] = SCALES,
        path_maps: Sequence[int] = PATH_MAPS,
        hidden_maps: Sequence[int] = HIDDEN_MAPS,
    ) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.reach = len(path_maps)
        self.classes = classes
        layers = list(pairwise((1, *path_maps)))
        self.paths = torch.nn.ModuleList(
            [torch.nn.Sequential(*(PreActivated(a, b, 3) for a, b in layers)) for _ in self.scales]
        )
        joined = pairwise((path_maps[-1] * len(self.scales), *hidden_maps, classes))
        self.head = torch.nn.Sequential(*(PreActivated(a, b, 1) for a, b in joined))

    @property
    def joining(self) -> list[PreActivated]:
        """The layers of ``head``."""
        return [layer for layer in self.head if isinstance(layer, PreActivated)]

    @property
    def margin(self) -> int:
        """Voxels on each side of a block that its answer depends on."""
        return self.reach * max(self.scales)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """One block and its margin in one pass: what training needs, and what dense inference is held against.

        Parameters
        ----------
        image : (batch, 1, z, y, x); each size less twice ``margin`` is a multiple of every scale.

        Returns
        -------
        (batch, classes, z - 2 margin, y - 2 margin, x - 2 margin) logits.
        """
        found = []
        for scale, path in zip(self.scales, self.paths, strict=True):
            seen = trimmed(image, self.margin - self.reach * scale)[..., *(slice(scale // 2, None, scale),) * 3]
            found.append(torch.nn.functional.interpolate(path(seen), scale_factor=scale, mode="nearest"))
        logits: torch.Tensor = self.head(torch.cat(found, dim=1))
        return logits


def activated(maps: torch.Tensor, activation: torch.nn.PReLU) -> torch.Tensor:
    """``activation(maps)``; without gradients in place, which takes half the time. ``maps`` is the caller's own."""
    if torch.is_grad_enabled():
        result: torch.Tensor = activation(maps)
        return result
    return torch.nn.functional.leaky_relu_(maps, float(activation.weight))


def trimmed(maps: torch.Tensor, rim: int) -> torch.Tensor:
    """(..., z, y, x) without ``rim`` voxels on each side."""
    return maps[..., rim : maps.shape[-3] - rim, rim : maps.shape[-2] - rim, rim : maps.shape[-1] - rim]


def normalised(hu: torch.Tensor) -> torch.Tensor:
    """HU as the published weights want them: ``WINDOW_HU`` to [-1, 1], clipped."""
    low, high = WINDOW_HU
    return (hu.clamp(low, high) - (low + high) / 2.0) * (2.0 / (high - low))

"""What is particular to a model that reads slices: network, planes, how its output becomes a probability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dicomnode.train.slices.exams import Planes

RARE_LOGIT = -4.0
"""Bias of the last layer before training: a finding fills less than 1 % of the pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model that finds something on slices.

    Attributes
    ----------
    window : rows and columns of a training window.
    build : new network.
    bundled : the network as the node runs it; more than one training may have made it.
    prepare : (3, ..., rows, columns) HU of a slice and its neighbours -> (channels, ..., rows, columns).
    finish : logits (findings, slices, size, size) and HU (3, slices, size, size) -> probabilities.
    faint : is blood made fainter in training?
    streaks : are rays hardened and starved in training?
    missed : of each finding the weight of a missed voxel against a false one in the overlap of the loss, 0 to 1; 0.5
        for all, where it is empty.
    """

    name: str
    planes: Planes
    window: int
    build: Callable[[], torch.nn.Module]
    bundled: Callable[[], torch.nn.Module]
    prepare: Callable[[torch.Tensor], torch.Tensor]
    finish: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    faint: bool = False
    streaks: bool = False
    missed: tuple[float, ...] = ()

    @property
    def finding(self) -> str:
        """The main finding: its mask is judged, its label is the exam's."""
        return self.planes.findings[0]


def rare(network: torch.nn.Module) -> torch.nn.Module:
    """The network, with the bias of its last layer set for a finding that fills few pixels."""
    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    if last.bias is not None:
        torch.nn.init.constant_(last.bias, RARE_LOGIT)
    return network

"""How exactly networks compute: as they were trained, or as quickly as the processor can without another answer.

What it comes to is measured by ``python -m benchmarks.inference`` and ``benchmarks.precision`` (docs/performance.md).
"""

from __future__ import annotations

from enum import StrEnum

import torch

ACCEPTED = 0.002
"""Of Dice and of a probability: how far an answer may be from that of float32."""


class Precision(StrEnum):
    """``auto``: float32, and the layout that the processor is quickest with; ``bfloat16``: only where it is asked for.

    Of ten heads one had a Dice of 0.998 between both, further off than :data:`ACCEPTED`.
    """

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def quickened(network: torch.nn.Module, precision: Precision) -> torch.nn.Module:
    """A network of planes as it is to be run; the weights stay as they are, in float32.

    Parameters
    ----------
    network : (batch, channels, rows, columns) -> (batch, outputs, rows, columns).
    """
    if precision is Precision.FLOAT32:
        return network
    if not any(parameter.ndim > 4 for parameter in network.parameters()):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return InBfloat16(network) if precision is Precision.BFLOAT16 else network


class InBfloat16(torch.nn.Module):
    """A network whose convolutions and products of matrices are computed in bfloat16, and its answer given in float32.

    Parameters
    ----------
    network : whose answer is one tensor.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """As the network's own, wherever the image lies."""
        with torch.autocast(image.device.type, torch.bfloat16):
            said: torch.Tensor = self.network(image)
        return said.float()

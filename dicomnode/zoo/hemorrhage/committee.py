"""Networks of the same kind, trained from different seeds, that mark together.

Every second one reads the slice mirrored, so that no side of the head is favoured. Reference: Lakshminarayanan et al.,
Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles, NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

COLUMNS = -1


class Committee(torch.nn.Module):
    """Mean of the logits of several networks.

    Parameters
    ----------
    members : each (batch, channels, rows, columns) -> (batch, outputs, rows, columns).
    """

    def __init__(self, members: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(batch, channels, rows, columns) in canonical orientation -> (batch, outputs, rows, columns)."""
        mirrored = image.flip(COLUMNS)
        read = [
            member(mirrored).flip(COLUMNS) if seat % 2 else member(image) for seat, member in enumerate(self.members)
        ]
        return torch.stack(read).mean(dim=0)


def seated(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """State dict of a :class:`Committee` from those of its members, in the order of their seats."""
    return {f"members.{seat}.{name}": value for seat, state in enumerate(states) for name, value in state.items()}

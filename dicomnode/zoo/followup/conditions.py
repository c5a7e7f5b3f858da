"""What is not in the image: the hours until the scan to come, and variables of the patient."""

from __future__ import annotations

import torch
from torch import nn

HALVINGS_H = (4.0, 8.0, 16.0, 32.0)
"""The hours are told as what is left of something that halves in so many hours: so contrast medium fades."""


def left_of(given: torch.Tensor) -> torch.Tensor:
    """(patients, 4) what is left after so many hours, the first column of what is given."""
    return torch.cat([0.5 ** (given[:, :1] / halving_h) for halving_h in HALVINGS_H], dim=1)


class Conditions(nn.Module):
    """Hours and variables -> one vector that scales and shifts the tokens of every level.

    Parameters
    ----------
    variables : how many. widths : of the tokens that ask.

    Attributes
    ----------
    mean, deviation : (variables,) of the training patients, set by whoever trains.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, variables: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(variables))
        self.register_buffer("deviation", torch.ones(variables))
        hidden = 2 * widths[0]
        self.read = nn.Sequential(nn.Linear(len(HALVINGS_H) + 2 * variables, hidden), nn.GELU())
        levels = [nn.Linear(hidden, 2 * width) for width in widths]
        for level in levels:
            nn.init.zeros_(level.weight)
            nn.init.zeros_(level.bias)
        self.levels = nn.ModuleList(levels)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """(patients, hidden) of (patients, 1 + variables): hours, then variables, NaN where not known."""
        known = torch.isfinite(given[:, 1:])
        scaled = torch.where(known, (given[:, 1:] - self.mean) / self.deviation, 0.0).clamp(-6.0, 6.0)
        read: torch.Tensor = self.read(torch.cat([left_of(given), scaled, known.float()], dim=1))
        return read

    def applied(self, tokens: torch.Tensor, told: torch.Tensor, level: int) -> torch.Tensor:
        """Tokens (patients, slabs, rows, columns, width) of a level, scaled and shifted."""
        scale, shift = self.levels[level](told)[:, None, None, None].chunk(2, dim=-1)
        moved: torch.Tensor = tokens * (1.0 + scale) + shift
        return moved

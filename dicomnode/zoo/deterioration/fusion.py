"""Variables and text, each through a branch of its own, put side by side: the concat fusion of Sun et al.

Reference: Sun et al., Front Neurol 2026, doi 10.3389/fneur.2026.1787921. The paper names the fusion and what goes in;
sizes and the handling of what is missing are this project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import nn

TEXT_LOST = 0.1
"""Share of the texts that are withheld in training, so that the network knows patients without one."""


class Channels(StrEnum):
    """What a network is shown; those that see one channel alone are there for comparison."""

    FUSED = "fused"
    STRUCTURED = "structured"
    TEXT = "text"


class ConcatFusion(nn.Module):
    """Variables and features of a text -> log odds of the event.

    A variable that is not known counts as average, and a mark beside it says that it is not known; in place of a text
    that is not known stands a vector that is learned.

    Parameters
    ----------
    variables, text : how many of each. channels : which of them are used.
    hidden : width of the branch of the variables. text_width : of the branch of the text.
    dropout : share of hidden units that are left out in training.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        variables: int,
        text: int,
        *,
        channels: str = Channels.FUSED,
        hidden: int = 64,
        text_width: int = 32,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.channels = Channels(channels)
        self.register_buffer("mean", torch.zeros(variables))
        self.register_buffer("deviation", torch.ones(variables))
        self.record = nn.Sequential(
            nn.Linear(2 * variables, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.text = nn.Sequential(nn.Linear(text, text_width), nn.ReLU())
        self.no_text = nn.Parameter(torch.zeros(text_width))
        self.head = nn.Sequential(
            nn.Linear(hidden + text_width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def forward(self, variables: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """(patients,) log odds, from (patients, variables) and (patients, text); NaN is what is not known."""
        if self.channels is Channels.TEXT:
            variables = torch.full_like(variables, torch.nan)
        if self.channels is Channels.STRUCTURED:
            text = torch.full_like(text, torch.nan)
        known = torch.isfinite(variables)
        scaled = torch.where(known, (variables - self.mean) / self.deviation, 0.0).clamp(-6.0, 6.0)
        record = self.record(torch.cat([scaled, (~known).float()], dim=1))
        has_text = torch.isfinite(text).all(dim=1, keepdim=True)
        if self.training:
            has_text = has_text & (torch.rand(has_text.shape, device=text.device) >= TEXT_LOST)
        read = torch.where(has_text, self.text(torch.nan_to_num(text)), self.no_text)
        logits: torch.Tensor = self.head(torch.cat([record, read], dim=1))[:, 0]
        return logits


class Council(nn.Module):
    """Several networks of one form, such as those of a cross-validation; the mean of their log odds.

    Parameters
    ----------
    members : the networks.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, variables: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """(patients,) mean log odds."""
        return torch.stack([member(variables, text) for member in self.members]).mean(dim=0)

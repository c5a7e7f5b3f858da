"""The whole network of a bundle: reader of heads, reader of texts, the fusions, and the logistic regression."""

from __future__ import annotations

import torch
from torch import nn

from dicomnode.zoo.deterioration.variables import VARIABLES
from dicomnode.zoo.networks.head_reader import HeadReader
from dicomnode.zoo.prognosis.bert import QUESTIONS, WIDTH, SmallBert
from dicomnode.zoo.prognosis.bleed import FACTS
from dicomnode.zoo.prognosis.fusion import PrognosisFusion
from dicomnode.zoo.prognosis.logistic import VARIABLES as LOGISTIC
from dicomnode.zoo.prognosis.logistic import Logistic

MEMBERS, OTHERS = 5, 48
"""Fusions of the shipped bundle; patients of whom values are borrowed for what is not known."""


class PrognosisNetwork(nn.Module):
    """As a bundle's configuration builds it, without weights.

    Parameters
    ----------
    vocabulary : pieces of words. members : fusions of the council.
    ships : ``council``, or ``logistic`` where the fusions are not better than that.

    Attributes
    ----------
    others : (OTHERS, variables) of training patients, NaN where not known.
    """

    others: torch.Tensor

    def __init__(self, vocabulary: int, members: int = MEMBERS, ships: str = "council") -> None:
        super().__init__()
        self.ships = ships
        self.heads, self.reader = HeadReader(), SmallBert(vocabulary)
        self.council = nn.ModuleList([new_member(self.heads.width) for _ in range(members)])
        self.logistic = new_logistic()
        self.register_buffer("others", torch.full((OTHERS, len(VARIABLES)), torch.nan))

    def forward(
        self, features: torch.Tensor, facts: torch.Tensor, variables: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        """(patients,) mean log odds of a poor outcome, inputs as of the fusion."""
        return self.each(features, facts, variables, text).mean(dim=0)

    def each(
        self, features: torch.Tensor, facts: torch.Tensor, variables: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        """(members, patients) log odds of each member; of the one regression where that ships."""
        if self.ships == "logistic":
            return torch.as_tensor(self.logistic(facts, variables))[None]
        return torch.stack([member(features, facts, variables, text) for member in self.council])


def new_member(features: int) -> PrognosisFusion:
    """One fusion of the council, new."""
    return PrognosisFusion(features, len(FACTS), len(VARIABLES), WIDTH, answers=QUESTIONS)


def new_logistic() -> Logistic:
    """The regression, new."""
    names = list(VARIABLES)
    return Logistic(tuple(names.index(name) for name in LOGISTIC))

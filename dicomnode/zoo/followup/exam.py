"""Whether the exam to come shows blood: what its decoder's tokens say, and what the maps of the other task tell.

Tokens are learned from parts of heads, which is cheap and tells little of a whole one. What the maps come down to, and
how the piece that is most surely stained looks, is read as facts, such as how dense it is; facts and tokens are weighed
once the maps stand still.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dicomnode.zoo.followup.grid import VOXEL_ML, inner
from dicomnode.zoo.followup.piece import Piece, PieceReader, crop_of, surest

FACTS = ("density", "metallic", "staining", "dead")
"""Of the first scan: how dense its staining is, whether as dense as metal, and how much of it and of dead brain."""
LEAST_ML = 0.1
SURE = (0.2, 0.4)
"""Chances from which voxels of staining are put together to pieces, of which the one that is surest counts."""
NO_PIECE_HU = -40.0
FEW, HIGH = 5, (90, 75)
"""Densest voxels of a piece that are averaged, and percentiles that are told of it."""
OF_PIECE = 5 + len(HIGH)
EVIDENCE = 6 + OF_PIECE * len(SURE)
"""Numbers that the maps of a head come down to."""
READERS = 4
"""Of the piece; each has learned from other heads."""
BENDS = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
"""Deviations at which what is told of each number may bend: from some density on staining is as dense as metal."""
NUMBERS = EVIDENCE + len(FACTS)
HIDDEN, FARTHEST, LOST = 32, 6.0, 0.2


class MapFacts(nn.Module):
    """Facts of the first scan from what the maps come down to, and from what the readers tell of the piece.

    Attributes
    ----------
    mean, deviation : (NUMBERS,) of the heads that it learned from.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(NUMBERS))
        self.register_buffer("deviation", torch.ones(NUMBERS))
        seen = NUMBERS * (1 + len(BENDS))
        self.line = nn.Linear(seen, len(FACTS))
        self.bent = nn.Sequential(
            nn.Dropout(LOST), nn.Linear(seen, HIDDEN), nn.GELU(), nn.Dropout(LOST), nn.Linear(HIDDEN, len(FACTS))
        )

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """(heads, facts) in deviations from their mean, of (heads, NUMBERS)."""
        scaled = ((numbers - self.mean) / self.deviation).clamp(-FARTHEST, FARTHEST)
        beyond = (scaled[:, :, None] - torch.tensor(BENDS, device=scaled.device)).clamp(min=0.0)
        seen = torch.cat([scaled, beyond.flatten(1)], dim=1)
        told: torch.Tensor = self.line(seen) + self.bent(seen)
        return told


class ExamHead(nn.Module):
    """Tokens, and what the maps of the other task tell -> log odds that the exam to come shows blood.

    Tokens are weighed by a score of their own, not averaged: what matters is small, and heads fill a grid differently.

    Parameters
    ----------
    width : of the tokens.
    told : are there maps to go by?
    """

    def __init__(self, width: int, told: bool) -> None:
        super().__init__()
        self.norm, self.score, self.logit = nn.LayerNorm(width), nn.Linear(width, 1), nn.Linear(2 * width, 1)
        self.readers = nn.ModuleList(PieceReader(len(FACTS)) for _ in range(READERS)) if told else None
        self.facts = MapFacts() if told else None
        self.weigh = nn.Linear(1 + len(FACTS), 1) if told else None
        if self.weigh is not None:
            # until somebody teaches it, the tokens have their say alone
            nn.init.zeros_(self.weigh.weight)
            nn.init.zeros_(self.weigh.bias)
            self.weigh.weight.data[0, 0] = 1.0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(heads,) log odds by the tokens alone, (heads, slabs, rows, columns, width)."""
        flat = self.norm(tokens).flatten(1, 3)
        weighed = (torch.softmax(self.score(flat), dim=1) * flat).sum(dim=1)
        logits: torch.Tensor = self.logit(torch.cat([weighed, flat.amax(dim=1)], dim=1))[:, 0]
        return logits

    def with_maps(self, by_tokens: torch.Tensor, evidence: torch.Tensor, crops: torch.Tensor) -> torch.Tensor:
        """(heads,) log odds by all that is known.

        Parameters
        ----------
        by_tokens : (heads,) log odds by them alone. evidence, crops : of whole heads, see :func:`evidence_of`.
        """
        if self.readers is None or self.facts is None or self.weigh is None:
            return by_tokens
        of_piece = torch.stack([reader(crops) for reader in self.readers]).mean(dim=0)
        told = self.facts(torch.cat([evidence, of_piece], dim=1))
        weighed: torch.Tensor = self.weigh(torch.cat([by_tokens[:, None], told], dim=1))[:, 0]
        return weighed


def evidence_of(
    blood_logit: torch.Tensor, kind_logit: torch.Tensor, head: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(heads, EVIDENCE) of the maps, and (heads, LAYERS, *CROP) about the piece; no gradient goes through either.

    Evidence: the logarithms of the mL to be expected of blood, staining and dead brain; the densest voxel, weighed by
    its chance of being stained; and of the piece that is most surely stained its densest voxels and its mL.

    Parameters
    ----------
    blood_logit, kind_logit : (heads, slabs, rows, columns), and (heads, kinds, slabs, rows, columns).
    head : (heads, 3, slabs, rows, columns), see :class:`dicomnode.zoo.followup.grid.FollowUpHead`.
    """
    # at the edge bone is dense, and no pair teaches what the maps say there
    brain = inner(head[:, 1]).float()
    chance = (torch.sigmoid(torch.cat([blood_logit[:, None], kind_logit], dim=1)) * brain[:, None]).detach().cpu()
    numbers, crops = list[list[float]](), list[torch.Tensor]()
    for shown, one in zip(chance.numpy(), head.detach().float().cpu().numpy(), strict=True):
        pieces = [surest(shown[1], sure) for sure in SURE]
        numbers.append(_of_head(shown, one[0], one[2], pieces))
        crops.append(torch.from_numpy(crop_of(pieces[0], shown[1], shown[2], one)))
    return torch.tensor(numbers, dtype=torch.float32, device=head.device), torch.stack(crops).to(head.device)


def _of_head(
    chance: NDArray[np.float32],
    hu: NDArray[np.float32],
    densest: NDArray[np.float32],
    pieces: Sequence[Piece | None],
) -> list[float]:
    """Numbers of one head; ``chance`` (blood, staining, dead brain) of every voxel."""
    expected = np.log(chance.sum(axis=(1, 2, 3)) * VOXEL_ML + LEAST_ML)
    stained = chance[1]
    weighed = [float((stained * densest).max()), float((stained**2 * densest).max()), float((stained * hu).max())]
    return [*map(float, expected), *weighed, *(number for piece in pieces for number in _of_piece(piece, hu, densest))]


def _of_piece(piece: Piece | None, hu: NDArray[np.float32], densest: NDArray[np.float32]) -> list[float]:
    """What a piece shows."""
    if piece is None:
        return [*[NO_PIECE_HU] * (OF_PIECE - 1), float(np.log(LEAST_ML))]
    told = [
        number
        for values in (densest[piece.mask], hu[piece.mask])
        for number in (values.max(), np.sort(values)[-FEW:].mean())
    ]
    high = np.percentile(densest[piece.mask], HIGH)
    return [*map(float, told), *map(float, high), float(np.log(piece.held * VOXEL_ML + LEAST_ML))]

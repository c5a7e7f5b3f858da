"""How a small network learns to tell facts from numbers, and what it tells of those that it has not learned from.

A teller has buffers ``mean`` and ``deviation`` of the numbers that it reads, and gives facts in their own unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from rich.progress import track
from torch.nn import functional

from dicomnode.train.descent import descend

STEPS, BATCH, RATE, DECAY = 600, 128, 3e-3, 0.05
FOLDS = 5
SMALLEST_DEVIATION = 1e-3
T = TypeVar("T", bound=torch.nn.Module)


def deviation_of(values: torch.Tensor) -> torch.Tensor:
    """(columns,) standard deviation of each, which may divide."""
    return values.std(dim=0).clamp(min=SMALLEST_DEVIATION)


def taught(teller: T, shown: torch.Tensor, facts: torch.Tensor, scale: torch.Tensor, seed: int) -> T:
    """Teach a new teller in place.

    Parameters
    ----------
    shown : (exams, numbers) that it reads. facts : (exams, facts) that are true. scale : (facts,) unit of their errors.
    """
    measured = {"mean": shown.mean(dim=0), "deviation": deviation_of(shown)}
    teller.load_state_dict({**teller.state_dict(), **measured})
    optimiser = torch.optim.AdamW(teller.parameters(), lr=RATE, weight_decay=DECAY)
    losses = (
        functional.smooth_l1_loss(teller(shown[chosen]) / scale, facts[chosen] / scale)
        for chosen in _batches(len(facts), seed)
    )
    descend(optimiser, losses, STEPS)
    return teller.eval()


def _batches(count: int, seed: int) -> Iterator[torch.Tensor]:
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        yield torch.from_numpy(rng.permutation(count)[:BATCH])


def out_of_fold(
    teach: Callable[[torch.Tensor, torch.Tensor, int], T],
    shown: torch.Tensor,
    facts: torch.Tensor,
    *,
    folds: int = FOLDS,
    says: str = "",
) -> tuple[list[T], torch.Tensor]:
    """Tellers, and (exams, facts) what is told of each exam by the one that has not learned from it.

    Parameters
    ----------
    teach : numbers, facts and the fold that is left out -> a teller.
    says : beside the progress bar; without it there is none.
    """
    told, fold = torch.empty_like(facts), torch.arange(len(facts)) % folds
    tellers = []
    for number in track(range(folds), says, disable=not says):
        teller = teach(shown[fold != number], facts[fold != number], number)
        with torch.inference_mode():
            told[fold == number] = teller(shown[fold == number])
        tellers.append(teller)
    return tellers, told

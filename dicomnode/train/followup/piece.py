"""Teaches the readers of the piece, each from other heads: so it is known what one tells of heads it has not seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import smooth_l1_loss

from dicomnode.train.descent import descend
from dicomnode.train.tellers import out_of_fold
from dicomnode.zoo.followup.exam import READERS
from dicomnode.zoo.followup.piece import MARGIN, UNIT_HU, PieceReader, moved

EPOCHS, BATCH, RATE, DECAY = 20, 32, 2e-3, 0.05
UNIT = 0.3
"""Deviations from where on an error counts by its size and not by its square."""
MOST_NOISE_HU = 3.0
OF_HU = 2
"""The first layers are HU."""


def crossed(
    crops: torch.Tensor, facts: torch.Tensor, seed: int, *, progress: bool
) -> tuple[list[PieceReader], torch.Tensor]:
    """Readers, each taught on all heads but its share, and (heads, facts) what each head's own reader tells of it.

    Parameters
    ----------
    crops : (heads, LAYERS, *CROP). facts : (heads, facts) in deviations from their mean.
    """
    says = "teaching readers of the piece" if progress else ""
    return out_of_fold(
        lambda shown, wanted, number: _taught(shown, wanted, READERS * seed + number),
        crops,
        facts,
        folds=READERS,
        says=says,
    )


def _taught(crops: torch.Tensor, facts: torch.Tensor, seed: int) -> PieceReader:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    reader = PieceReader(facts.shape[1])
    reader.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(reader.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    losses = (
        smooth_l1_loss(reader.of_window(_shown(crops[chosen], rng)), facts[chosen], beta=UNIT)
        for chosen in _batches(len(facts), rng)
    )
    descend(optimiser, losses, EPOCHS * _steps(len(facts)))
    reader.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return reader.eval()


def _steps(count: int) -> int:
    """Of an epoch; an incomplete last batch is left out, unless it is the only one."""
    return max(1, count // BATCH)


def _batches(count: int, rng: np.random.Generator) -> Iterator[torch.Tensor]:
    for _ in range(EPOCHS):
        order = rng.permutation(count)
        for step in range(_steps(count)):
            yield torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])


def _shown(crops: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(pieces, LAYERS, *WINDOW) moved, mirrored and with noise, a whole batch alike."""
    by = [int(rng.integers(-margin, margin + 1)) for margin in MARGIN]
    window = moved(crops, (by[0], by[1], by[2])).clone()
    noise = torch.randn_like(window[:, :OF_HU])
    window[:, :OF_HU] += noise * float(rng.random()) * MOST_NOISE_HU / UNIT_HU
    window = window.flip(-1) if rng.random() < 0.5 else window
    return window.contiguous(memory_format=torch.channels_last_3d)

"""How the reader of heads learns to mark: some slabs of every head an epoch, those with a finding first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dicomnode.cohort.streams import stream
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.engine import BEST, Batch, FitSettings, Task, fit
from dicomnode.train.head_reader.painted import STEPS, Heads
from dicomnode.zoo.networks.head_facts import KINDS
from dicomnode.zoo.networks.head_grid import WINDOW_HU, above_brain_hu, as_floats
from dicomnode.zoo.networks.head_reader import (
    DARK,
    DEPTH_HU,
    PLACES,
    READ,
    Marked,
    SlabNet,
    slabs_of,
)

HEADS, SLABS, WITH_FINDING = 8, 8, 5
"""Heads of a batch, slabs of each, and how many of these show a finding, where there are so many."""
GAIN_SD, OFFSET_SD_HU, NOISE_HU = 0.05, 1.0, 2.0
DARK_SHARE = 0.4
SHARES, OVERLAP, DEPTH = 20.0, 0.5, 0.5
"""Weights of cross-entropy, overlap and depth in the loss."""
FIT = FitSettings(
    epochs=8, learning_rate=3e-3, weight_decay=0.01, patience=0, device="cpu", clip_norm=5.0, averaging=0.99
)
SCORED = 40
"""Of the heads that it learns from, to choose between the last epochs: they differ by little, the rate has fallen."""


@dataclass(frozen=True, slots=True)
class SlabBatches:
    """Every head once an epoch, half of them mirrored, with noise and a scanner that is off by some HU."""

    heads: Heads
    seed: int

    @property
    def steps(self) -> int:
        """Of an epoch; an incomplete last batch is left out."""
        return max(1, len(self.heads) // HEADS)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        rng = stream(self.seed, "slabs", epoch)
        order = rng.permutation(len(self.heads))
        for step in range(self.steps):
            yield batch_of(self.heads, order[step * HEADS : (step + 1) * HEADS], rng)


def batch_of(heads: Heads, chosen: NDArray[np.intp], rng: np.random.Generator) -> Batch:
    """``slabs`` (slabs, SEEN, 48, 48), ``shares`` (slabs, kinds, 48, 48) and ``darkness`` (slabs,) HU."""
    at = torch.from_numpy(chosen)
    mirror = torch.from_numpy(rng.random(len(chosen)) < 0.5)[:, None, None, None]
    image, shares = _disturbed(as_floats(heads.image[at])[:, 0], rng), heads.shares[at].float() / STEPS
    head, slab = _slabs(shares, rng)
    seen = slabs_of(torch.where(mirror, image.flip(-1), image)[:, None], head, slab)
    painted = shares[head, :, slab]
    return {
        "slabs": seen,
        "shares": torch.where(mirror[head], painted.flip(-1), painted),
        "darkness": heads.facts[at][head, READ.index("darkness")],
    }


def _disturbed(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Heads in steps of the window from -1 to 1, as another scanner shows them."""
    gain, offset, noise = (
        torch.from_numpy(values.astype(np.float32))[:, None, None, None]
        for values in (
            np.exp(rng.normal(0.0, GAIN_SD, len(image))),
            rng.normal(0.0, OFFSET_SD_HU, len(image)),
            rng.uniform(0.0, NOISE_HU, len(image)),
        )
    )
    hu = above_brain_hu(image) * gain + offset + torch.randn(image.shape) * noise
    low, high = WINDOW_HU
    return (2.0 * (hu - low) / (high - low) - 1.0).clamp(-1.0, 1.0)


def _slabs(shares: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Number of the head and of the slab of each that is shown."""
    shown = shares.amax(dim=(1, 3, 4)).numpy() > 0.0
    pairs = []
    for number, found in enumerate(shown):
        first = rng.permutation(np.flatnonzero(found))[:WITH_FINDING]
        rest = rng.permutation(np.setdiff1d(np.arange(PLACES[0]), first))[: SLABS - len(first)]
        pairs += [(number, int(slab)) for slab in (*first, *rest)]
    head, slab = torch.tensor(pairs).unbind(dim=1)
    return head, slab


def marking_loss(marked: Marked, batch: Batch) -> torch.Tensor:
    """Cross-entropy of the shares, their overlap (Dice of each kind that is there), depth of what is dark."""
    shares = batch["shares"]
    wrong = functional.binary_cross_entropy_with_logits(marked.shares, shares)
    dark = shares[:, [KINDS.index(kind) for kind in DARK]].sum(dim=1) > DARK_SHARE
    off = (marked.depth - batch["darkness"][:, None, None] / DEPTH_HU).abs() * dark
    total: torch.Tensor = SHARES * wrong + OVERLAP * _missed(marked, shares) + DEPTH * off.sum() / (dark.sum() + 1.0)
    return total


def _missed(marked: Marked, shares: torch.Tensor) -> torch.Tensor:
    """1 less the Dice of each kind that is there, mean."""
    said, axes = marked.shares.sigmoid(), (0, 2, 3)
    both = 2.0 * (said * shares).sum(dim=axes) / ((said.square() + shares.square()).sum(dim=axes) + 1e-3)
    there = shares.sum(dim=axes) > 0.5
    return (1.0 - both)[there].mean() if bool(there.any()) else both.sum() * 0.0


def trained_to_mark(out: Path, heads: Heads, settings: FitSettings = FIT) -> SlabNet:
    """A network that marks.

    Parameters
    ----------
    out : folder; the same call goes on where it stopped.

    Raises
    ------
    TrainingError : the training cannot go on.
    """
    torch.manual_seed(settings.seed)
    network, batches = SlabNet(), SlabBatches(heads, settings.seed)
    if not (out / "done").exists():
        chosen = np.unique(np.linspace(0, len(heads) - 1, SCORED).astype(int))
        kept = batch_of(heads, chosen, stream(0, "scored"))

        def score(one: torch.nn.Module) -> float:
            return -float(marking_loss(one(kept["slabs"]), kept))

        task = Task(
            network=network, loss=marking_loss, batches=batches, steps=batches.steps, validate=score, inputs=("slabs",)
        )
        fit(task, settings, out, progress=False)
        (out / "done").touch()
    load_weights_file(network, out / BEST)
    return network.eval()

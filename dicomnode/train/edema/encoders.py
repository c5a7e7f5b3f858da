"""How the encoder that has seen heads alone learns: it fills in what was taken out of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from dicomnode.cohort.streams import stream
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.edema.edges import blurred, sobel
from dicomnode.train.engine import BEST, Batch, FitSettings, Task, fit
from dicomnode.zoo.networks.masked import SelfSupervised, Views, patched
from dicomnode.zoo.networks.vit import FAST, VitEncoder

BATCH = 16
EDGES, BLUR, CONTRAST = 0.01, 2.0, 0.001
MASKED_FIT = FitSettings(
    epochs=3, learning_rate=1e-3, weight_decay=0.05, patience=0, device="cpu", mixed_precision=False
)


@dataclass(frozen=True, slots=True)
class HeadBatches:
    """Every head once an epoch, half of them mirrored.

    Attributes
    ----------
    heads : (heads, 1, 32, 96, 96) to learn from. seed : of the order.
    epochs : of the training, after which edges no longer count.
    """

    heads: torch.Tensor
    seed: int
    epochs: int

    @property
    def steps(self) -> int:
        """Of an epoch; an incomplete last batch is left out."""
        return max(1, len(self.heads) // BATCH)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, with ``edges``, the weight of the edges."""
        rng = stream(self.seed, "heads", epoch)
        order = rng.permutation(len(self.heads))
        for step in range(self.steps):
            chosen = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
            image = self.heads[chosen]
            mirror = torch.from_numpy(rng.random(len(chosen)) < 0.5)[:, None, None, None, None]
            image = torch.where(mirror, image.flip(-1), image)
            yield {"image": image, "edges": torch.tensor(EDGES * (1.0 - (epoch - 1) / self.epochs))}


def masked_loss(views: Views, batch: Batch) -> torch.Tensor:
    """What was taken out, edges, and the likeness of the two views; see :mod:`dicomnode.zoo.networks.masked`."""
    wrong = (patched(views.decoded, FAST) - patched(views.target, FAST)).square().mean(dim=2)
    removed = (wrong * views.gone).sum() / views.gone.sum()
    edges = functional.mse_loss(sobel(views.decoded), sobel(blurred(views.target, BLUR)))
    asked, kept = views.asked.chunk(2), views.kept.detach().chunk(2)
    likeness = sum(functional.cosine_similarity(a, b).mean() for a, b in zip(asked, kept[::-1], strict=True))
    total: torch.Tensor = removed + batch["edges"] * edges - CONTRAST * likeness / 2
    return total


def trained_by_masking(out: Path, heads: torch.Tensor, apart: torch.Tensor, settings: FitSettings) -> VitEncoder:
    """A transformer that fills in heads.

    Parameters
    ----------
    out : folder; the same call goes on where it stopped.
    heads, apart : (heads, 1, 32, 96, 96) to learn from, and those by which the best epoch is chosen.

    Raises
    ------
    TrainingError : the training cannot go on.
    """
    torch.manual_seed(settings.seed)
    whole = SelfSupervised()
    if not (out / "done").exists():
        batches = HeadBatches(heads, settings.seed, settings.epochs)
        task = Task(
            network=whole,
            loss=masked_loss,
            batches=batches,
            steps=batches.steps,
            validate=lambda one: -_filled_in(one, apart),
        )
        fit(task, settings, out, progress=False)
        (out / "done").touch()
    load_weights_file(whole, out / BEST)
    return whole.eval().autoencoder.encoder


def _filled_in(network: nn.Module, heads: torch.Tensor) -> float:
    """Mean loss of some heads, of which the same patches are taken out every time."""
    with torch.inference_mode(), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        parts = torch.split(heads, BATCH)
        losses = [float(masked_loss(network(part), {"edges": torch.tensor(EDGES)})) for part in parts]
    return sum(losses) / len(losses)

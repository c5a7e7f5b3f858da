"""How encoders of heads learn: from what is painted in them, or from heads alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional

from dicomnode.cohort.streams import stream
from dicomnode.train.checkpoint import load_weights_file
from dicomnode.train.edema.edges import blurred, sobel
from dicomnode.train.engine import BEST, Batch, FitSettings, Task, fit
from dicomnode.train.tabular import over_known
from dicomnode.zoo.networks.head_encoder import TOKEN_ML, HeadEncoder, Histograms, Told
from dicomnode.zoo.networks.head_facts import FACTS, SCALE, SIDED
from dicomnode.zoo.networks.masked import SelfSupervised, Views, patched
from dicomnode.zoo.networks.vit import FAST, VitEncoder

T = TypeVar("T", bound=nn.Module)
Loss = Callable[[Any, Batch], torch.Tensor]
Score = Callable[[nn.Module], float]
Heads = Mapping[str, torch.Tensor]
"""``image`` (heads, 1, 32, 96, 96), ``tokens`` (heads, kinds, 4, 6, 6) mL, ``facts`` (heads, facts)."""
BATCH = 16
FOUND, NONE = 0.5, 2.0
"""Weight of the tokens with a finding and of those without against the whole head: the latter are many, and easy."""
EDGES, BLUR, CONTRAST = 0.01, 2.0, 0.001
FACTS_FIT = FitSettings(
    epochs=28, learning_rate=2e-3, weight_decay=0.02, patience=0, device="cpu", mixed_precision=False
)
MASKED_FIT = FitSettings(
    epochs=3, learning_rate=1e-3, weight_decay=0.05, patience=0, device="cpu", mixed_precision=False
)


@dataclass(frozen=True, slots=True)
class HeadBatches:
    """Every head once an epoch, half of them mirrored.

    Attributes
    ----------
    heads : to learn from. seed : of the order. epochs : of the training, after which edges no longer count.
    """

    heads: Heads
    seed: int
    epochs: int

    @property
    def steps(self) -> int:
        """Of an epoch; an incomplete last batch is left out."""
        return max(1, len(self.heads["image"]) // BATCH)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, with ``edges``, the weight of the edges."""
        rng = stream(self.seed, "heads", epoch)
        order = rng.permutation(len(self.heads["image"]))
        for step in range(self.steps):
            chosen = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
            batch = {name: values[chosen] for name, values in self.heads.items()}
            mirror = torch.from_numpy(rng.random(len(chosen)) < 0.5)
            yield {**mirrored(batch, mirror), "edges": torch.tensor(EDGES * (1.0 - (epoch - 1) / self.epochs))}


def mirrored(heads: Heads, which: torch.Tensor) -> dict[str, torch.Tensor]:
    """Some heads with left and right exchanged, and their facts with them.

    Parameters
    ----------
    which : (heads,) bool.
    """
    changed = dict(heads)
    for name in ("image", "tokens"):
        wide = which.reshape(-1, *[1] * (heads[name].ndim - 1))
        changed[name] = torch.where(wide, heads[name].flip(-1), heads[name])
    sign = torch.tensor([-1.0 if name in SIDED else 1.0 for name in FACTS])
    changed["facts"] = torch.where(which[:, None], heads["facts"] * sign, heads["facts"])
    return changed


def facts_loss(told: Told, batch: Batch) -> torch.Tensor:
    """Squared errors of the whole head and of its tokens, in deviations; what is not known does not count."""
    scale = torch.tensor([SCALE[name] for name in FACTS])
    whole = over_known(functional.smooth_l1_loss, told.facts, batch["facts"] / scale)
    truth = torch.log1p(batch["tokens"] / TOKEN_ML)
    found = over_known(functional.smooth_l1_loss, told.tokens, torch.where(truth > 0.0, truth, torch.nan))
    none = over_known(functional.smooth_l1_loss, told.tokens, torch.where(truth > 0.0, torch.nan, truth))
    return whole + FOUND * found + NONE * none


def masked_loss(views: Views, batch: Batch) -> torch.Tensor:
    """What was taken out, edges, and the likeness of the two views; see :mod:`dicomnode.zoo.networks.masked`."""
    wrong = (patched(views.decoded, FAST) - patched(views.target, FAST)).square().mean(dim=2)
    removed = (wrong * views.gone).sum() / views.gone.sum()
    edges = functional.mse_loss(sobel(views.decoded), sobel(blurred(views.target, BLUR)))
    asked, kept = views.asked.chunk(2), views.kept.detach().chunk(2)
    likeness = sum(functional.cosine_similarity(a, b).mean() for a, b in zip(asked, kept[::-1], strict=True))
    total: torch.Tensor = removed + batch["edges"] * edges - CONTRAST * likeness / 2
    return total


def trained_on_facts(out: Path, heads: Heads, apart: Heads, settings: FitSettings) -> HeadEncoder:
    """An encoder that tells what is painted.

    Parameters
    ----------
    out : folder; the same call goes on where it stopped.
    apart : heads by which the best epoch is chosen.

    Raises
    ------
    TrainingError : the training cannot go on.
    """
    if (out / "done").exists():
        return loaded(out / BEST)
    learned, kept = histograms_of(heads), histograms_of(apart)
    torch.manual_seed(settings.seed)
    return _trained(out, HeadEncoder(), learned, facts_loss, lambda one: -loss_over(one, kept), settings)


def loaded(weights: Path) -> HeadEncoder:
    """An encoder by the file of its weights.

    Raises
    ------
    TrainingError : they do not fit.
    """
    network = HeadEncoder()
    load_weights_file(network, weights)
    return network.eval()


def histograms_of(heads: Heads) -> Heads:
    """Heads with the histograms of their blocks in place of their images: they are the same in every epoch."""
    if heads["image"].shape[1] > 1:
        return heads
    stem = Histograms()
    with torch.no_grad():
        return {**heads, "image": torch.cat([stem(part) for part in torch.split(heads["image"], BATCH)])}


def trained_by_masking(out: Path, heads: Heads, apart: Heads, settings: FitSettings) -> VitEncoder:
    """A transformer that fills in heads; see :func:`trained_on_facts`.

    Raises
    ------
    TrainingError : the training cannot go on.
    """
    torch.manual_seed(settings.seed)
    whole = _trained(out, SelfSupervised(), heads, masked_loss, lambda one: -_filled_in(one, apart), settings)
    return whole.autoencoder.encoder


def _filled_in(network: nn.Module, heads: Heads) -> float:
    """Mean loss of some heads, of which the same patches are taken out every time."""
    with torch.inference_mode(), torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        parts = torch.split(heads["image"], BATCH)
        losses = [float(masked_loss(network(part), {"edges": torch.tensor(EDGES)})) for part in parts]
    return sum(losses) / len(losses)


def _trained(out: Path, network: T, heads: Heads, loss: Loss, validate: Score, settings: FitSettings) -> T:
    if not (out / "done").exists():
        batches = HeadBatches(heads, settings.seed, settings.epochs)
        task = Task(network=network, loss=loss, batches=batches, steps=batches.steps, validate=validate)
        fit(task, settings, out, progress=False)
        (out / "done").touch()
    load_weights_file(network, out / BEST)
    return network.eval()


def loss_over(network: nn.Module, heads: Heads) -> float:
    """Mean loss of the facts of some heads, mirrored ones as well."""
    losses = []
    with torch.inference_mode():
        for start in range(0, len(heads["image"]), BATCH):
            batch = {name: values[start : start + BATCH] for name, values in heads.items()}
            losses.append(float(facts_loss(network(batch["image"]), batch)) * len(batch["image"]))
    return sum(losses) / len(heads["image"])


def told_right(network: HeadEncoder, heads: Heads) -> Mapping[str, float]:
    """Share of the variance of each fact that an encoder explains, over the heads where it is known."""
    scale = torch.tensor([SCALE[name] for name in FACTS])
    with torch.inference_mode():
        given = torch.cat([network(part).facts for part in torch.split(heads["image"], BATCH)]) * scale
    return {name: _explained(heads["facts"][:, place], given[:, place]) for place, name in enumerate(FACTS)}


def _explained(truth: torch.Tensor, given: torch.Tensor) -> float:
    known = torch.isfinite(truth)
    if int(known.sum()) < 2 or float(truth[known].var()) == 0.0:
        return float("nan")
    return 1.0 - float((truth[known] - given[known]).square().mean() / truth[known].var(correction=0))


def stacked_heads(painted: Sequence[Mapping[str, torch.Tensor]]) -> Heads:
    """Heads one by one -> all of them."""
    return {name: torch.stack([one[name] for one in painted]) for name in painted[0]}

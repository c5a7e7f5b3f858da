"""Variables, labels and other small tensors of exams; what is missing stays NaN.

A network gets NaN for a variable that is not known and decides what to make of it; a loss passes over such a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from dicomnode.cohort.streams import stream
from dicomnode.errors import ManifestError
from dicomnode.train.manifest import Case

SMALLEST_DEVIATION = 1e-6
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class ExamTensors:
    """One exam as tensors by name, such as ``variables``, ``features``, ``label``."""

    case: Case
    tensors: Mapping[str, torch.Tensor]


def numbers_of(known: Mapping[str, float], names: Sequence[str]) -> torch.Tensor:
    """(names,) float32 in this order, such as of a case's variables or labels; NaN for what is not known."""
    return torch.tensor([known.get(name, NAN) for name in names], dtype=torch.float32)


def scale_of(values: torch.Tensor, names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each variable, for a network to keep in buffers.

    Parameters
    ----------
    values : (exams, names) of the training exams alone: those of validation and test must not shape the scale.

    Returns
    -------
    (names,) float32 each, over the exams in which a variable is known.

    Raises
    ------
    ManifestError : a variable is known in no training exam.
    """
    absent = [name for name, known in zip(names, torch.isfinite(values).any(dim=0), strict=True) if not known]
    if absent:
        raise ManifestError([f"variable {name} is known in no training exam" for name in absent])
    mean = values.nanmean(dim=0)
    deviation = (values - mean).square().nanmean(dim=0).sqrt()
    return mean, deviation.clamp(min=SMALLEST_DEVIATION)


def over_known(loss: Callable[..., torch.Tensor], given: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean of a loss over what is known of the truth; 0 with a gradient of 0 where nothing is.

    Parameters
    ----------
    loss : one of :mod:`torch.nn.functional` that takes ``reduction``.
    given, truth : of the same shape; the truth is NaN where not known.
    """
    known = torch.isfinite(truth)
    # a forward pass in half precision gives what no loss should be computed in
    each = loss(given.float(), torch.where(known, truth, 0.0), reduction="none")
    return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)


def stacked(samples: Sequence[ExamTensors]) -> dict[str, torch.Tensor]:
    """Name -> (exams, ...) of all of them."""
    return {name: torch.stack([sample.tensors[name] for sample in samples]) for name in samples[0].tensors}


@dataclass(frozen=True, slots=True)
class ExamBatches:
    """Batches of whole exams; each is seen at most once in an epoch, in an order of the epoch's own.

    Attributes
    ----------
    tensors : such as :func:`stacked` gives, all of the same first length.
    """

    tensors: Mapping[str, torch.Tensor]
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Batches of an epoch; an incomplete last one is left out, unless it is the only one."""
        return max(1, len(next(iter(self.tensors.values()))) // self.batch)

    def __call__(self, epoch: int) -> Iterator[Mapping[str, torch.Tensor]]:
        """The batches of an epoch."""
        count = len(next(iter(self.tensors.values())))
        order = torch.from_numpy(stream(self.seed, "exams", epoch).permutation(count))
        for step in range(self.steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            yield {name: tensor[chosen] for name, tensor in self.tensors.items()}

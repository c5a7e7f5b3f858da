"""Exams for models that answer with a number: image, clinical variables and label, missing values included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.cohort.streams import stream
from dicomnode.errors import ManifestError
from dicomnode.train.manifest import Case
from dicomnode.train.slices.exams import Exam

SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True, slots=True)
class VariableTable:
    """Standardises variables as the training exams have them; what is missing becomes the mean, and is flagged.

    Attributes
    ----------
    mean, deviation : (variables,) over the training exams in which each is known.
    """

    names: tuple[str, ...]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, training: Sequence[Case], names: Sequence[str]) -> VariableTable:
        """Measure on the training exams alone: those of validation and test must not shape the scale.

        Raises
        ------
        ManifestError : a variable is known in no training exam.
        """
        columns = [[case.variables[name] for case in training if name in case.variables] for name in names]
        absent = [name for name, column in zip(names, columns, strict=True) if not column]
        if absent:
            raise ManifestError([f"variable {name} is known in no training exam" for name in absent])
        spread = [max(float(np.std(column)), SMALLEST_DEVIATION) for column in columns]
        return cls(tuple(names), np.array([np.mean(column) for column in columns]), np.array(spread))

    def encode(self, cases: Sequence[Case]) -> torch.Tensor:
        """(exams, 2 x variables) float32: standardised values, 0 where missing; then 1 where known, else 0."""
        raw = np.array([[case.variables.get(name, np.nan) for name in self.names] for case in cases])
        known = np.isfinite(raw)
        values = np.where(known, (raw - self.mean) / self.deviation, 0.0)
        return torch.from_numpy(np.concatenate([values, known], axis=1).astype(np.float32))


def labels_of(cases: Sequence[Case], label: str) -> torch.Tensor:
    """(exams, 1) float32.

    Raises
    ------
    ManifestError : exams without the label, all of them listed.
    """
    missing = [f"exam {case.id} has no label {label}" for case in cases if label not in case.labels]
    if missing:
        raise ManifestError(missing)
    return torch.tensor([[case.labels[label]] for case in cases], dtype=torch.float32)


def volume_of(exam: Exam, shape: tuple[int, int, int], low_hu: float, high_hu: float) -> torch.Tensor:
    """(1, slices, rows, columns) float32 in [0, 1]: the planes in a fixed HU window, averaged to ``shape``."""
    hu = torch.from_numpy(exam.hu.astype(np.float32))
    scaled = ((hu - low_hu) / (high_hu - low_hu)).clamp(0.0, 1.0)
    return torch.nn.functional.adaptive_avg_pool3d(scaled[None], shape)


@dataclass(frozen=True, slots=True)
class ScalarBatches:
    """Batches of any epoch for :class:`dicomnode.train.engine.Task`; the same epoch gives the same batches.

    Attributes
    ----------
    tensors : such as ``image``, ``variables`` and ``label``, all of the same first length.
    """

    tensors: Mapping[str, torch.Tensor]
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Batches of an epoch; an incomplete last one is left out, unless it is the only one."""
        return max(1, len(next(iter(self.tensors.values()))) // self.batch)

    def __call__(self, epoch: int) -> Iterator[Mapping[str, torch.Tensor]]:
        """Every exam at most once, in random order."""
        count = len(next(iter(self.tensors.values())))
        order = torch.from_numpy(stream(self.seed, "exams", epoch).permutation(count))
        for step in range(self.steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            yield {name: tensor[chosen] for name, tensor in self.tensors.items()}

"""Batches of pairs: a part of each head, mostly where something changes, half of them mirrored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dicomnode.cohort.streams import stream
from dicomnode.train.engine import Batch
from dicomnode.train.tabular import ExamTensors

PART = (12, 48, 48)
"""Voxels (slabs, rows, columns) of a part: a third of the time that whole heads take."""
AT_CHANGE = 0.8
"""Share of the parts that are laid about a voxel that changes."""
WHOLE = ("given", "painted", "label")
"""What belongs to an exam and not to its voxels."""


@dataclass(frozen=True, slots=True)
class PairBatches:
    """Every pair once an epoch.

    Attributes
    ----------
    samples : to learn from. seed : of order, parts and mirrors.
    """

    samples: Sequence[ExamTensors]
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Of an epoch; an incomplete last batch is left out, unless it is the only one."""
        return max(1, len(self.samples) // self.batch)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        rng = stream(self.seed, "pairs", epoch)
        order = rng.permutation(len(self.samples))
        for step in range(self.steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            parts = [part_of(self.samples[k].tensors, rng) for k in chosen]
            yield {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def part_of(tensors: Mapping[str, torch.Tensor], rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """A part of a pair, mirrored or not."""
    a, b, c = _places(tensors["changed"], rng)
    axes = [-1] if rng.random() < 0.5 else []
    return {
        name: value if name in WHOLE else value[..., a, b, c].flip(axes).contiguous() for name, value in tensors.items()
    }


def _places(changed: torch.Tensor, rng: np.random.Generator) -> list[slice]:
    """Where a part lies: about a voxel that changes, or anywhere."""
    room = [whole - part for whole, part in zip(changed.shape, PART, strict=True)]
    voxels = torch.nonzero(changed)
    if len(voxels) and rng.random() < AT_CHANGE:
        about = voxels[int(rng.integers(len(voxels)))].tolist()
        aside = [part // 2 + int(rng.integers(-part // 4, part // 4 + 1)) for part in PART]
        starts = [min(max(at - by, 0), most) for at, by, most in zip(about, aside, room, strict=True)]
    else:
        starts = [int(rng.integers(most + 1)) for most in room]
    return [slice(start, start + part) for start, part in zip(starts, PART, strict=True)]

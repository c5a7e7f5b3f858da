"""Each step of the cascade by ridge regression, on the frames that the steps before it have left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.frame import Cascade, corrected, features, first_guess, grid_mm
from dicomnode.measure.anatomy.plane import mid_plane
from dicomnode.measure.anatomy.sampling import Coarse, coarse
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.train.anatomy.heads import coarse_scan, load_head

RIDGES = (0.5, 0.5, 0.5, 0.5)
"""Of each step, as a share of the mean square of a sample's features."""
FOLDS = 4


@dataclass(slots=True, kw_only=True)
class Sample:
    """A coarse scan, the frame that it has so far, and its true one. ``head``: scans of one head are of one fold."""

    head: int
    seen: Coarse
    brain_hu: float
    matrix: NDArray[np.float64]
    truth: NDArray[np.float64]


def samples_of(paths: Iterable[Path], scans: int, seed: int) -> Iterator[Sample]:
    """Coarse scans of heads with their first guess; a scan without one is left out."""
    for number, path in enumerate(paths):
        rng = np.random.default_rng([seed, number])
        head = load_head(path)
        for _ in range(scans):
            volume, truth = coarse_scan(head, rng)
            plane, seen = mid_plane(volume), coarse(volume)
            guess = None if plane is None else first_guess(seen, plane)
            if guess is not None:
                brain_hu = commonest_soft_tissue_hu(seen.hu) or 0.0
                yield Sample(head=number, seen=seen, brain_hu=brain_hu, matrix=guess, truth=truth)


def wanted(matrix: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(12,) the correction that makes a frame the true one, see :func:`~dicomnode.measure.anatomy.frame.corrected`."""
    back = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]]))
    change = truth @ back - np.eye(3, 4)
    return np.asarray((change * [50.0, 50.0, 50.0, 1.0]).ravel())


def fitted(samples: Sequence[Sample]) -> Cascade:
    """Learn all steps; the samples' frames are moved along.

    A sample is moved by what was learned from other heads: else the next step would learn from errors that are smaller
    than those that it will meet.
    """
    steps = []
    for ridge in RIDGES:
        seen = [features(sample.seen, sample.matrix, sample.brain_hu) for sample in samples]
        values, masks = (np.stack(parts) for parts in zip(*seen, strict=True))
        mean = (values * masks).sum(axis=0) / np.maximum(masks.sum(axis=0), 1)
        centred = np.where(masks, values - mean, 0.0).astype(np.float32)
        targets = np.stack([wanted(sample.matrix, sample.truth) for sample in samples])
        bias = targets.mean(axis=0)
        gram = (centred @ centred.T).astype(np.float64)
        moves = _of_other_heads(gram, targets - bias, np.array([sample.head for sample in samples]) % FOLDS, ridge)
        for sample, move in zip(samples, moves + bias, strict=True):
            sample.matrix = corrected(sample.matrix, move)
        steps.append((mean, centred.T @ _dual(gram, targets - bias, ridge).astype(np.float32), bias))
    means, weights, biases = (np.stack(parts).astype(np.float32) for parts in zip(*steps, strict=True))
    return Cascade(mean=means, weights=weights, bias=biases)


def _dual(gram: NDArray[np.float64], targets: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """(samples, 12) dual weights of ridge regression."""
    penalty = ridge * np.trace(gram) / len(gram)
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(len(gram)), targets))


def _of_other_heads(
    gram: NDArray[np.float64], targets: NDArray[np.float64], folds: NDArray[np.intp], ridge: float
) -> NDArray[np.float64]:
    """(samples, 12) what a regression says of each sample that has not seen its fold."""
    said = np.empty_like(targets)
    for fold in range(FOLDS):
        own = folds == fold
        dual = _dual(gram[np.ix_(~own, ~own)], targets[~own], ridge)
        said[own] = gram[np.ix_(own, ~own)] @ dual
    return said


def errors_mm(matrix: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(points, 3) by how much a frame is wrong at the points that it looks at within the brain."""
    points = grid_mm()
    near = points[((points - [0.0, 5.0, 5.0]) ** 2 / np.array([60.0, 75.0, 60.0]) ** 2).sum(axis=1) < 1.0]
    back = np.linalg.inv(truth[:, :3])
    patient = (near - truth[:, 3]) @ back.T
    return np.asarray(patient @ matrix[:, :3].T + matrix[:, 3] - near)

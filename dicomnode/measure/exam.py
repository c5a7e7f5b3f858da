"""How likely an exam shows a finding at all, from the probabilities of its voxels.

An exam is scored by its most probable 1 mL, wherever it lies: one voxel that is wrongly bright cannot raise it, and a
thin bleed that runs over many slices counts as much as a round one. Networks are surer than they are right, so a bundle
may state how its scores become probabilities (Platt 1999). PatchFCN's own rule, the highest slice of its classification
branch (Kuo et al., PNAS 2019;116:22737), needs such a branch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from dicomnode.records import Volume

SCORED_ML = 1.0
SCORED_MM2 = 50.0
"""A patch of 8 mm in diameter: smaller ones are noise more often than blood."""
CERTAIN = 1e-6
"""Probabilities nearer to 0 or 1 than this count as this near."""
STEPS = (0.5, 1e-2, 1e-4, CERTAIN)
"""Probabilities that the most probable voxels are looked for above, one after the other."""


def slice_scores(probability: NDArray[np.float32], pixel_area_mm2: float) -> NDArray[np.float64]:
    """Mean of the most probable ``SCORED_MM2`` of each slice, taken over log odds: near 1 slices still differ.

    Parameters
    ----------
    probability : (slices, rows, columns) 0 to 1.

    Returns
    -------
    (slices,) 0 to 1.
    """
    flat = probability.reshape(len(probability), -1)
    count = min(max(1, round(SCORED_MM2 / pixel_area_mm2)), flat.shape[1])
    top = np.partition(flat, flat.shape[1] - count, axis=1)[:, -count:].astype(np.float64)
    return np.asarray(expit(_log_odds(top).mean(axis=1)))


def exam_score(probability: NDArray[np.float32], voxel_ml: ArrayLike) -> float:
    """Mean of the most probable ``SCORED_ML`` of an exam, taken over log odds.

    Parameters
    ----------
    probability : (slices, rows, columns) 0 to 1.
    voxel_ml : (slices,) volume of a voxel of each slice.

    Returns
    -------
    0 to 1; an exam of less than ``SCORED_ML`` counts whole.

    >>> odds_of_9_and_a_quarter = np.array([[[0.9]], [[0.2]]], np.float32)
    >>> round(exam_score(odds_of_9_and_a_quarter, [0.5, 4.0]), 3)
    0.6
    """
    volumes, flat = np.asarray(voxel_ml, np.float64), probability.ravel()
    count = min(math.ceil(SCORED_ML / volumes.min()), flat.size)
    top = _likeliest(flat, count)
    top = top[np.argsort(-flat[top], kind="stable")]
    below = np.cumsum(volumes[top // (flat.size // len(volumes))])
    shares = np.diff(np.minimum(below, SCORED_ML), prepend=0.0)
    return float(expit(np.average(_log_odds(flat[top].astype(np.float64)), weights=shares)))


def _likeliest(flat: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """(count,) indices of the most probable voxels.

    Only what lies above the highest step that enough of them lie above is ordered: an index takes eight bytes, and a
    partition among millions of ties takes seconds. What is not above ``CERTAIN`` is all worth the same: any will do.
    """
    enough = (step for step in STEPS if np.count_nonzero(flat > step) >= count)
    seen = np.flatnonzero(flat > next(enough, CERTAIN))
    if seen.size > count:
        return np.asarray(seen[np.argpartition(flat[seen], seen.size - count)[-count:]])
    return np.concatenate([seen, np.flatnonzero(flat <= CERTAIN)[: count - seen.size]])


def calibrated(score: float, slope: float, intercept: float) -> float:
    """Probability of a score: its log odds times ``slope`` plus ``intercept``, back to 0 to 1.

    >>> calibrated(0.5, 2.0, 0.0), round(calibrated(0.9, 0.5, 0.0), 6)
    (0.5, 0.75)
    """
    return float(expit(slope * _log_odds(np.array(score)) + intercept))


def exam_probability(
    probability: NDArray[np.float32], volume: Volume, slope: float = 1.0, intercept: float = 0.0
) -> float:
    """Probability that an exam shows the finding, 0 to 1.

    Parameters
    ----------
    probability : (slices, rows, columns) in the stack order of the volume, 0 outside the head.
    slope, intercept : of the bundle, see :func:`calibrated`.
    """
    return calibrated(exam_score(probability, volume.stack.voxel_ml), slope, intercept)


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(probability, CERTAIN, 1.0 - CERTAIN)))

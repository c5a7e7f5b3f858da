"""How likely an exam shows a finding at all, from the probabilities of its voxels.

A slice is scored by its most probable 50 mm2; the exam is its highest slice after a median of three neighbours, which a
single bright slice cannot raise. The plain maximum is PatchFCN's rule (Kuo et al., PNAS 2019;116:22737). Networks are
surer than they are right, so a bundle may state how its scores become probabilities (Platt 1999).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from dicomnode.records import Volume

SCORED_MM2 = 50.0
"""A patch of 8 mm in diameter: smaller ones are noise more often than blood."""
CERTAIN = 1e-6
"""Probabilities nearer to 0 or 1 than this count as this near."""


def slice_scores(probability: NDArray[np.float32], pixel_area_mm2: float) -> NDArray[np.float64]:
    """Mean of the most probable ``SCORED_MM2`` of each slice, taken over log odds: near 1 exams still differ.

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


def exam_score(scores: ArrayLike, *, paper: bool = False) -> float:
    """Score of an exam from its slices, in order along the stack.

    Parameters
    ----------
    paper : the plain maximum; else the maximum after a median of three neighbours.

    >>> exam_score([0.1, 0.9, 0.1]), exam_score([0.1, 0.9, 0.8])
    (0.1, 0.8)
    """
    values = np.asarray(scores, dtype=np.float64)
    if paper or len(values) < 3:
        return float(values.max())
    padded = np.pad(values, 1, mode="edge")
    return float(np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0).max())


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
    return calibrated(exam_score(slice_scores(probability, volume.stack.pixel_area_mm2)), slope, intercept)


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(probability, CERTAIN, 1.0 - CERTAIN)))

"""How well scores rank patients whose probabilities are known: areas under the curve without drawing labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def expected_auc(p: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """Expected AUC of scores when the label of each patient is drawn with its own probability.

    The probability that a random positive has a higher score than a random negative, ties counting half. The noise of
    drawn labels is not in it.

    Parameters
    ----------
    p : (patients,) probability of a 1.
    scores : (patients,) what ranks them.
    """
    inverse = np.unique(scores, return_inverse=True)[1]
    positive = np.bincount(inverse, weights=p)
    negative = np.bincount(inverse, weights=1.0 - p)
    below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    return float((positive * (below + negative / 2.0)).sum() / (positive.sum() * negative.sum()))


def attainable_auc(p: NDArray[np.float64]) -> float:
    """Expected AUC of the best possible ranking when outcomes are drawn with probabilities ``p``: that by ``p``."""
    return expected_auc(p, p)

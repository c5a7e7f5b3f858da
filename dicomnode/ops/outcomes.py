"""How a model's forecasts did, by what came: the running table of ``dicomnode outcomes``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import NormalDist

from dicomnode.store.ops.outcomes import ForecastLine

BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
"""Edges of the groups of forecasts."""
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Forecasts of ``low`` to below ``high`` (the last group holds 1, too).

    Attributes
    ----------
    count, came : how many, and of how many it came true.
    expected : mean of the probabilities; None where there is no forecast.
    interval : 95 % of the share that came (Wilson 1927); None where there is no forecast.
    """

    low: float
    high: float
    count: int
    came: int
    expected: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One score, held to what came.

    Attributes
    ----------
    brier : mean squared error of the probabilities; None where none is counted.
    brier_base : of whoever always says the share that came.
    uncertain : later exams that were neither positive nor negative, and are not counted.
    """

    score: str
    whole: Group
    groups: tuple[Group, ...]
    brier: float | None
    brier_base: float | None
    uncertain: int


def account(score: str, lines: Sequence[ForecastLine]) -> Account:
    """The running table of one score."""
    counted = [(line.probability, line.came) for line in lines if line.came is not None]
    whole = _group(0.0, 1.0, counted)
    share = whole.came / whole.count if counted else 0.0
    return Account(
        score=score,
        whole=whole,
        groups=tuple(
            _group(low, high, [one for one in counted if _within(one[0], low, high)]) for low, high in pairwise(BINS)
        ),
        brier=_mean([(probability - came) ** 2 for probability, came in counted]),
        brier_base=_mean([(share - came) ** 2 for _, came in counted]),
        uncertain=len(lines) - len(counted),
    )


def _within(probability: float, low: float, high: float) -> bool:
    return low <= probability < high or probability == high == BINS[-1]


def _group(low: float, high: float, counted: Sequence[tuple[float, bool]]) -> Group:
    came = sum(one for _, one in counted)
    return Group(
        low=low,
        high=high,
        count=len(counted),
        came=came,
        expected=_mean([probability for probability, _ in counted]),
        interval=wilson(came, len(counted)) if counted else None,
    )


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def wilson(came: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, J Am Stat Assoc 22 (1927) 209).

    >>> wilson(5, 20)
    (0.112, 0.469)
    """
    share, weight = came / count, Z**2 / count
    middle = (share + weight / 2) / (1 + weight)
    half = Z * sqrt(share * (1 - share) / count + weight / (4 * count)) / (1 + weight)
    return round(middle - half, 3), round(middle + half, 3)

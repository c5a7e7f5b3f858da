"""Figures of results with their intervals, and the differences of two models or of several trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import ManifestError
from dicomnode.train import statistics
from dicomnode.train.results import Floats, Results, matched
from dicomnode.train.statistics import Difference, Estimate

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that says how good some results are.

    Attributes
    ----------
    title : what a person reads.
    columns : of the results from which it is computed.
    compute : (exams,) values of these columns -> the figure; NaN where it is not defined.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    compute: Callable[..., float]

    def value(self, results: Results, indices: Indices) -> float:
        """The figure of the exams at ``indices``; NaN where a column is missing."""
        if not all(name in results.columns for name in self.columns):
            return float("nan")
        return self.compute(*(results[name][indices] for name in self.columns))


Figures = Sequence[Figure]


def titles_of(figures: Figures) -> dict[str, str]:
    """Key -> what a person reads."""
    return {figure.key: figure.title for figure in figures}


def mean_of(values: Floats) -> float:
    """Mean over the exams in which a value is known; NaN where it is in none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def known_pairs(truth: Floats, given: Floats) -> tuple[Floats, Floats]:
    """The exams in which both the truth and what a model gave are known."""
    known = np.isfinite(truth) & np.isfinite(given)
    return truth[known], given[known]


def figures_of(results: Results, figures: Figures, seed: int, resamples: int) -> dict[str, Estimate]:
    """Every figure that is defined, with its patient-level bootstrap interval."""
    whole = np.arange(len(results))
    return {
        figure.key: statistics.bootstrap(_bound(figure, results), results.patients, seed, resamples)[0]
        for figure in figures
        if np.isfinite(figure.value(results, whole))
    }


def _bound(figure: Figure, results: Results) -> Callable[[Indices], float]:
    return lambda indices: figure.value(results, indices)


def differences_of(
    a: Results, b: Results, figures: Figures, truths: Sequence[str], seed: int, resamples: int
) -> dict[str, Difference]:
    """A minus B on the exams both have, by the paired bootstrap over patients.

    Parameters
    ----------
    truths : columns in which the two must agree.

    Raises
    ------
    ManifestError : the two share no exam or differ about a truth.
    """
    return _mean_differences([matched(a, b, truths)], figures, seed, resamples)


def mean_differences(
    pairs: Sequence[tuple[Results, Results]], figures: Figures, truths: Sequence[str], seed: int, resamples: int
) -> dict[str, Difference]:
    """As :func:`differences_of`, of the mean over several trainings; every resample draws the same patients for all.

    Parameters
    ----------
    pairs : (A, B) of each training; all of the same exams.

    Raises
    ------
    ManifestError : the exams of the trainings differ, or a truth does.
    """
    first = pairs[0][0]
    both = [(matched(first, one, truths)[1], matched(first, other, truths)[1]) for one, other in pairs]
    if any(one.ids != first.ids or other.ids != first.ids for one, other in both):
        raise ManifestError(["the trainings were not scored on the same exams"])
    return _mean_differences(both, figures, seed, resamples)


def _mean_differences(
    pairs: Sequence[tuple[Results, Results]], figures: Figures, seed: int, resamples: int
) -> dict[str, Difference]:
    patients = pairs[0][0].patients
    found = {}
    for figure in figures:
        difference = _difference(figure, pairs)
        if np.isfinite(difference(np.arange(len(patients)))):
            found[figure.key] = statistics.difference_of(difference, patients, seed, resamples)
    return found


def _difference(figure: Figure, pairs: Sequence[tuple[Results, Results]]) -> Callable[[Indices], float]:
    def mean(indices: Indices) -> float:
        return float(np.mean([figure.value(a, indices) - figure.value(b, indices) for a, b in pairs]))

    return mean


def by_group(results: Results, name: str) -> dict[str, Results]:
    """The exams of each word in a column of words, words in order; an empty word is no subgroup."""
    words = results.groups.get(name, ())
    return {
        word: results.taken([i for i, other in enumerate(words) if other == word]) for word in sorted({*words} - {""})
    }


def by_range(results: Results, column: str, edges: Sequence[float]) -> Mapping[tuple[float, float], Results]:
    """The exams whose number lies above the lower and not above the upper edge, for each two edges with any."""
    values = results[column]
    parts = {(low, high): np.flatnonzero((values > low) & (values <= high)) for low, high in pairwise(edges)}
    return {edge: results.taken(indices) for edge, indices in parts.items() if len(indices)}

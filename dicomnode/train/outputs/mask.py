"""An output that marks voxels, judged by overlap and volume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomnode.train import plots, statistics
from dicomnode.train.outputs.figures import Figure, mean_of
from dicomnode.train.outputs.output import Account, Output, having
from dicomnode.train.outputs.probability import Probability
from dicomnode.train.results import NAN, Floats, Results

LARGE_ML = 1.0
"""Dice is also given over the exams with at least this much."""
Mask = NDArray[np.bool_]


class MaskOutput(Output):
    """A mask; its columns are those of :func:`mask_measures`.

    Parameters
    ----------
    exam : the probability that an exam shows the finding at all, for its AUC without the small ones; None where there
        is none.
    without : what an exam without the finding is called.
    prefix : of its columns, its figures' keys and its files' names, for models with several outputs.
    """

    def __init__(
        self, name: str, exam: Probability | None = None, without: str = "without it", prefix: str = ""
    ) -> None:
        self.name, self.prefix = name, prefix
        self.truths = ()
        self.truth_ml, self.dice = f"{prefix}truth_ml", f"{prefix}dice"
        large = self._large_auc(exam, without) if exam else ()
        self.figures = (*large, *self._figures())

    def _large_auc(self, exam: Probability, without: str) -> tuple[Figure, ...]:
        title = f"{exam.figures[0].title}, {without} against at least {LARGE_ML:g} mL"
        return (Figure(f"{self.prefix}auc_large", title, (exam.label, exam.score, self.truth_ml), _auc_large),)

    def _figures(self) -> tuple[Figure, ...]:
        both, marked_ml = (self.dice, self.truth_ml), f"{self.prefix}marked_ml"
        precision, false_ml = f"{self.prefix}pixel_precision", f"{self.prefix}false_ml"
        bias = "marked minus true volume in mL, mean"
        return (
            Figure(self.dice, "Dice, mean", both, _dice),
            Figure(f"{self.dice}_large", f"Dice, mean, at least {LARGE_ML:g} mL", both, _dice_large),
            Figure(precision, "average precision over voxels, mean", (precision,), mean_of),
            Figure(f"{self.prefix}volume_bias_ml", bias, (marked_ml, self.truth_ml), _bias),
            Figure(false_ml, "marked without being true in mL, mean", (false_ml,), mean_of),
        )

    def account(self, results: Results) -> Account:
        """Nothing beside the figures."""
        return Account()

    def draw(self, out: Path, sets: Mapping[str, Results], synthetic: bool) -> list[str]:
        """Dice over true volume, where the first set has exams with the finding."""
        used = {name: self._shown(results) for name, results in having(sets, self.dice, self.truth_ml).items()}
        if not used or not len(next(iter(used.values()))[0]):
            return []
        name = f"{self.prefix}dice_over_volume.png"
        plots.dice_plot(out / name, used, synthetic)
        return [name]

    def _shown(self, results: Results) -> tuple[Floats, Floats]:
        volumes, dice = results[self.truth_ml], results[self.dice]
        shown = (volumes > 0) & np.isfinite(dice)
        return volumes[shown], dice[shown]


def mask_measures(
    truth: Mask | None,
    probability: NDArray[np.float32],
    threshold: float,
    pixel_ml: ArrayLike,
    *,
    precise: bool = True,
    prefix: str = "",
) -> dict[str, float]:
    """The columns of one exam.

    Parameters
    ----------
    truth : (slices, rows, columns); None where it is not known.
    pixel_ml : (slices,) volume of a pixel of each slice.
    precise : compute the precision over voxels, which is slow.

    Returns
    -------
    ``marked_ml``; and with a truth ``dice`` (NaN where neither it nor the mark has a voxel), ``truth_ml``,
    ``false_ml`` (marked without being true) and ``pixel_precision`` (NaN without a true voxel).
    """
    marked = probability > threshold
    row = {"marked_ml": _volume(marked, pixel_ml)}
    if truth is not None:
        row["dice"] = statistics.dice(truth, marked)
        row["truth_ml"] = _volume(truth, pixel_ml)
        row["false_ml"] = _volume(marked & ~truth, pixel_ml)
        row["pixel_precision"] = statistics.average_precision(truth.ravel(), probability.ravel()) if precise else NAN
    return {prefix + name: value for name, value in row.items()}


def _volume(mask: Mask, pixel_ml: ArrayLike) -> float:
    return float((np.count_nonzero(mask, axis=(1, 2)) * np.asarray(pixel_ml)).sum())


def _auc_large(labels: Floats, scores: Floats, truth_ml: Floats) -> float:
    small = (labels == 1) & (truth_ml < LARGE_ML)
    known = np.isfinite(labels) & np.isfinite(scores) & ~small
    return statistics.auc(labels[known], scores[known])


def _dice(dice: Floats, truth_ml: Floats) -> float:
    # where nothing is marked in an exam without a true voxel, Dice is not defined and the exam says nothing about it
    return mean_of(dice[truth_ml > 0])


def _dice_large(dice: Floats, truth_ml: Floats) -> float:
    return mean_of(dice[truth_ml >= LARGE_ML])


def _bias(marked_ml: Floats, truth_ml: Floats) -> float:
    return mean_of(marked_ml - truth_ml)

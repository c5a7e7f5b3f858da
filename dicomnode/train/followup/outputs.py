"""Figures of the predicted scan that are its own: errors in regions, and the probability of blood voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dicomnode.train import statistics
from dicomnode.train.followup.judging import CONSTANTS, METALLIC
from dicomnode.train.outputs.figures import Figure, known_pairs, mean_of
from dicomnode.train.outputs.image import UNCHANGED
from dicomnode.train.outputs.output import Account, Output
from dicomnode.train.results import Floats, Results

BELOW = "error in the changed region without blood, HU"


class Regions(Output):
    """Errors where something changes and where nothing does, beside those of two rules."""

    name = "regions"
    truths = ()

    def __init__(self) -> None:
        changed, outside = "changed_mae", "outside_mae"
        of_identity, of_constants = UNCHANGED + changed, CONSTANTS + changed
        self.figures = (
            Figure(changed, BELOW, (changed,), mean_of),
            Figure(of_identity, f"{BELOW}: nothing changes", (of_identity,), mean_of),
            Figure(of_constants, f"{BELOW}: one constant a kind", (of_constants,), mean_of),
            Figure("below_unchanged", f"{BELOW}: share below that of no change", (changed, of_identity), below),
            Figure("below_constants", f"{BELOW}: share below that of constants", (changed, of_constants), below),
            Figure(outside, "error outside lesions, HU", (outside,), mean_of),
            Figure("outside_more", "error outside lesions, HU above no change", (outside, UNCHANGED + outside), more),
        )

    def account(self, results: Results) -> Account:
        """Nothing beside the figures."""
        return Account()

    def draw(self, out: Path, sets: Mapping[str, Results], synthetic: bool) -> list[str]:
        """Nothing."""
        return []


class MetallicSign(Output):
    """The rule that clinicians know, beside the probability of the exam.

    Parameters
    ----------
    label, score : columns of that probability.
    """

    name = "metallic hyperdensity sign"

    def __init__(self, label: str = "label", score: str = "score") -> None:
        self.truths = (label,)
        title = "blood on the follow-up scan, AUC"
        self.figures = (
            Figure("metallic_auc", f"{title} of the metallic hyperdensity sign", (label, METALLIC), _auc),
            Figure("auc_above_metallic", f"{title} above that of the sign", (label, score, METALLIC), _above),
            Figure("metallic_share", "share of scans with the metallic hyperdensity sign", (METALLIC,), mean_of),
        )

    def account(self, results: Results) -> Account:
        """Nothing beside the figures."""
        return Account()

    def draw(self, out: Path, sets: Mapping[str, Results], synthetic: bool) -> list[str]:
        """Nothing."""
        return []


class VoxelBlood(Output):
    """Probability of blood of every voxel of the brain."""

    name = "blood voxel by voxel"
    truths = ()

    def __init__(self) -> None:
        title = "blood, Brier score over voxels, in thousandths"
        self.figures = (
            Figure("voxel_brier", title, ("voxel_brier",), _thousandths),
            Figure("voxel_brier_none", f"{title}: no blood anywhere", ("voxel_share",), _thousandths),
            Figure("voxel_brier_base", f"{title}: the base rate everywhere", ("voxel_share",), _base_rate),
            Figure("voxel_ratio", "blood, expected over true voxels", ("voxel_p", "voxel_share"), _ratio),
        )

    def account(self, results: Results) -> Account:
        """Nothing beside the figures."""
        return Account()

    def draw(self, out: Path, sets: Mapping[str, Results], synthetic: bool) -> list[str]:
        """Nothing."""
        return []


def _auc(labels: Floats, given: Floats) -> float:
    return statistics.auc(*known_pairs(labels, given))


def _above(labels: Floats, scores: Floats, sign: Floats) -> float:
    """On the exams where both are known."""
    known = np.isfinite(labels) & np.isfinite(scores) & np.isfinite(sign)
    return statistics.auc(labels[known], scores[known]) - statistics.auc(labels[known], sign[known])


def below(given: Floats, rule: Floats) -> float:
    """Share by which a mean error lies below that of a rule, over the exams where both are known."""
    known = np.isfinite(given) & np.isfinite(rule)
    return 1.0 - float(given[known].mean() / rule[known].mean()) if known.any() else float("nan")


def more(given: Floats, rule: Floats) -> float:
    """By how much a mean error lies above that of a rule."""
    return mean_of(np.asarray(given - rule))


def _thousandths(values: Floats) -> float:
    return 1000.0 * mean_of(values)


def _base_rate(share: Floats) -> float:
    rate = mean_of(share)
    return 1000.0 * rate * (1.0 - rate)


def _ratio(expected: Floats, true: Floats) -> float:
    return mean_of(expected) / mean_of(true) if mean_of(true) else float("nan")

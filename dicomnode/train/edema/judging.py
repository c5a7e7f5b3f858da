"""Figures of the experiment: within each arm of the cohort, and averaged over the arms.

A model that knows no more than the arm is worth 0.5 within it, however much the arms differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.ceilings import population, predicted
from dicomnode.cohort.edition import Version
from dicomnode.cohort.outcomes import Channel
from dicomnode.cohort.patients import Site
from dicomnode.cohort.ranking import expected_auc
from dicomnode.cohort.versions import RECIPES
from dicomnode.train.edema.heads import ARMS, OEDEMA
from dicomnode.train.outputs.figures import Figure
from dicomnode.train.results import Floats, Results
from dicomnode.train.statistics import auc

HALF, NONE = "score_half", "score_none"
"""Columns of scores with half of the record withheld, and all of it."""
OWN_CHANNELS: Mapping[str, tuple[Channel, ...]] = {
    "image and record": ("image", "variables"),
    "image": ("image",),
    "record": ("variables",),
}


def within_arms(label: Floats, score: Floats, arm: Floats) -> float:
    """Mean of the AUC within each arm in which both outcomes occur; NaN without any."""
    found = [auc(label[chosen], score[chosen]) for chosen in _arms(label, score, arm)]
    return float(np.mean(found)) if found else float("nan")


def _arms(label: Floats, score: Floats, arm: Floats) -> Iterator[NDArray[np.bool_]]:
    known = np.isfinite(label) & np.isfinite(score)
    for number in range(len(ARMS)):
        chosen = known & (arm == number)
        if len(set(label[chosen])) == 2:
            yield chosen


def figure_of(score: str = "score") -> Figure:
    """Macro AUC of a column of scores."""
    return Figure(f"macro_auc_{score}", "AUC within the arms, mean", ("label", score, "arm"), within_arms)


def lost_figure(score: str) -> Figure:
    """What of the macro AUC is lost where a part of the record is withheld."""

    def lost(label: Floats, whole: Floats, part: Floats, arm: Floats) -> float:
        return within_arms(label, whole, arm) - within_arms(label, part, arm)

    return Figure(f"lost_{score}", "AUC lost", ("label", "score", score, "arm"), lost)


def by_arm(results: Results) -> Mapping[str, float]:
    """AUC within each arm."""
    label, score, arm = (results[name] for name in ("label", "score", "arm"))
    places = {name.value: arm == number for number, name in enumerate(ARMS)}
    return {name: auc(label[at], score[at]) for name, at in places.items() if len(set(label[at])) == 2}


def arm_alone(results: Results) -> float:
    """AUC over all patients of one who knows the arm alone: the share of the outcome in it."""
    label, arm = results["label"], results["arm"]
    share = np.array([label[arm == number].mean() for number in arm])
    return auc(label, share)


def ceilings(patients: int = 10_000) -> Mapping[str, float]:
    """Macro AUC of the best predictor from some channels, by :mod:`dicomnode.cohort.ceilings`; the arm is told too."""
    people = population(OEDEMA, Version.TWO, Site.A, patients)
    found = {}
    for says, channels in OWN_CHANNELS.items():
        given = predicted(OEDEMA, people, channels, RECIPES[Version.TWO])
        places = [people.arms == arm.value for arm in ARMS]
        found[says] = float(np.mean([expected_auc(people.p[at], given[at]) for at in places]))
    return found

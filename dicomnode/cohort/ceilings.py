"""How well an outcome of the cohort can be known from some channels alone.

The best predictor from some channels is E[p | what they show], where ``p`` is the probability given all that can be
seen. It is estimated by gradient boosting of ``p`` itself (not of drawn labels, hence with little noise) on all facts
of these channels and on what they add to the logit, each patient predicted by trees that did not see him. What comes
out is a lower bound, and for all channels together the joint oracle within a few thousandths.

A model is held to the ceiling of its own channels. Needs scikit-learn (``pip install 'dicomnode[train]'``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.edition import Version
from dicomnode.cohort.outcomes import CHANNELS, Channel
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.ranking import attainable_auc, expected_auc
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.versions import RECIPES, Facts, Recipe

PATIENTS, SEED, FOLDS = 10_000, 2026, 3
SETS: tuple[tuple[Channel, ...], ...] = (
    ("image",),
    ("text",),
    ("variables",),
    ("text", "variables"),
    ("image", "text"),
    ("image", "variables"),
    CHANNELS,
)
"""Sets of channels that models of the zoo have."""


@dataclass(frozen=True)
class Population:
    """Patients in whom an outcome is defined, with all that they show.

    Attributes
    ----------
    arms : (patients,) name of the arm of each.
    shown : facts of each.
    p : (patients,) probability of the outcome given all of them.
    """

    patients: list[Patient]
    arms: NDArray[np.str_]
    shown: list[Facts]
    p: NDArray[np.float64]


@lru_cache(maxsize=4)
def drawn(version: Version, arm: Arm, site: Site, patients: int, seed: int) -> list[Patient]:
    """Patients of one arm."""
    draw = RECIPES[version].draw_patient
    return [draw(derived_seed(seed, "patient", index), arm, site) for index in range(1, patients + 1)]


@lru_cache(maxsize=8)
def population(
    outcome: str, version: Version, site: Site = Site.A, patients: int = PATIENTS, seed: int = SEED
) -> Population:
    """Patients of the arm that an outcome is calibrated in.

    Raises
    ------
    KeyError : there is no such outcome in this version.
    """
    recipe = RECIPES[version]
    members = [
        patient
        for patient in drawn(version, recipe.reference[outcome], site, patients, seed)
        if recipe.defined(outcome, patient.arm)
    ]
    arms = np.array([patient.arm.value for patient in members])
    shown = [recipe.facts(patient) for patient in members]
    return Population(members, arms, shown, recipe.probabilities(outcome, members))


def table_of(people: Population, channels: Sequence[Channel]) -> NDArray[np.float64]:
    """(patients, facts) what some channels show, and the arm, which every request tells."""
    names = [(channel, name) for channel in channels for name in sorted({n for s in people.shown for n in s[channel]})]
    facts = [[shown[channel].get(name, 0.0) for channel, name in names] for shown in people.shown]
    arms = people.arms[:, None] == np.unique(people.arms)[None, :]
    table = np.concatenate([np.array(facts), arms.astype(np.float64)], axis=1)
    return np.asarray(table[:, table.std(axis=0) > 0])


def predicted(outcome: str, people: Population, channels: Sequence[Channel], recipe: Recipe) -> NDArray[np.float64]:
    """(patients,) E[p | channels], each from a fit to others."""
    told = np.array([recipe.logit_sum(outcome, shown, channels) for shown in people.shown])
    return by_other_trees(np.concatenate([table_of(people, channels), told[:, None]], axis=1), people.p)


def by_other_trees(table: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """(patients,) E[p | table], each from trees that did not see him.

    Parameters
    ----------
    table : (patients, facts). p : (patients,) probability given all.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import KFold, cross_val_predict

    trees = HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.08, max_leaf_nodes=8, min_samples_leaf=40, l2_regularization=1.0, random_state=0
    )
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    return np.asarray(cross_val_predict(trees, table, p, cv=folds))


def ceiling(
    outcome: str,
    channels: Sequence[Channel],
    *,
    version: Version = Version.TWO,
    site: Site = Site.A,
    patients: int = PATIENTS,
    seed: int = SEED,
) -> float:
    """AUC of the best predictor of an outcome from some channels alone.

    Parameters
    ----------
    outcome : a name of :data:`~dicomnode.cohort.second.tables.OUTCOMES`.
    channels : any of "image", "text", "variables".
    patients : drawn for it, of the arm that the outcome is calibrated in.

    Raises
    ------
    KeyError : there is no such outcome in this version.
    ImportError : scikit-learn is not installed.
    """
    people = population(outcome, version, site, patients, seed)
    return expected_auc(people.p, predicted(outcome, people, channels, RECIPES[version]))


def oracle(outcome: str, version: Version = Version.TWO, site: Site = Site.A, patients: int = PATIENTS) -> float:
    """AUC of the joint oracle: all that image, text and variables show together."""
    return attainable_auc(population(outcome, version, site, patients).p)

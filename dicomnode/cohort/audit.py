"""What was found wanting in the first version of the cohort, measured on any version: facts alone, no pictures.

Every figure is an expected AUC or share over drawn patients (:mod:`dicomnode.cohort.ranking`), each model fitted to
three quarters of them and judged on the rest. Needs scikit-learn (``pip install 'dicomnode[train]'``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.ceilings import Population, drawn, table_of
from dicomnode.cohort.edition import Version
from dicomnode.cohort.outcomes import CHANNELS, Channel
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.ranking import attainable_auc, expected_auc
from dicomnode.cohort.second.lesions import metallic_sign
from dicomnode.cohort.streams import stream
from dicomnode.cohort.versions import RECIPES

TRAINED = 0.75
RANDOM_DROP = 0.15
"""Share of recorded values that a training hides at random, as trainings of the zoo do."""


def _split(people: Population) -> slice:
    return slice(round(TRAINED * len(people.p)), None)


def _labels(people: Population, name: str) -> NDArray[np.int64]:
    """(patients,) labels drawn with each patient's own probability."""
    return np.asarray(stream(2026, "audit", name).random(len(people.p)) < people.p, np.int64)


def _fitted(table: NDArray[np.float64], labels: NDArray[np.int64], people: Population) -> float:
    """Expected AUC, on the patients left out, of a logistic regression on a table."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    judged = _split(people)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(table[: judged.start], labels[: judged.start])
    return expected_auc(people.p[judged], model.decision_function(table[judged]))


def additive_gap(outcome: str, people: Population) -> tuple[float, float]:
    """AUC of a plain logistic regression on all facts, and how far it ends below the joint oracle."""
    reached = _fitted(table_of(people, CHANNELS), _labels(people, outcome), people)
    return reached, attainable_auc(people.p[_split(people)]) - reached


@dataclass(frozen=True, slots=True)
class Gaps:
    """Values of the record as a training sees them.

    Attributes
    ----------
    values : (patients, variables) standardised, 0 where there is none.
    missing : (patients, variables) 1 where it is not recorded or was hidden.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.float64]


def recorded(people: Population, drop: float) -> Gaps:
    """Values and gaps of the record, a share of the values hidden at random on top."""
    names = list(people.patients[0].variables)
    there = np.array([[p.variables[name] is not None for name in names] for p in people.patients])
    values = np.array([[shown["variables"].get(name, 0.0) for name in names] for shown in people.shown])
    hidden = stream(2026, "audit", "drop").random(there.shape) < drop
    missing = ~there | hidden
    return Gaps(np.where(missing, 0.0, values), missing.astype(np.float64))


def gap_gain(outcome: str, people: Population, drop: float = RANDOM_DROP) -> tuple[float, float]:
    """AUC with mean imputation, and what telling the gaps adds to it: both fitted with the same values hidden."""
    gaps, labels = recorded(people, drop), _labels(people, outcome)
    kept = 1.0 - gaps.missing[: _split(people).start]
    means = gaps.values[: len(kept)].sum(axis=0) / np.maximum(kept.sum(axis=0), 1.0)
    filled = np.where(gaps.missing > 0, means, gaps.values)
    others = table_of(people, ("image", "text"))
    told = _fitted(np.concatenate([gaps.values, gaps.missing, others], axis=1), labels, people)
    imputed = _fitted(np.concatenate([filled, others], axis=1), labels, people)
    return imputed, told - imputed


def count_of_gaps_auc(outcome: str, people: Population) -> float:
    """AUC of nothing but the number of values that are missing."""
    return expected_auc(people.p, recorded(people, 0.0).missing.sum(axis=1))


def arm_alone_auc(people: Population) -> float:
    """AUC of the arm alone: the share of each arm that has the outcome."""
    share = {arm: people.p[people.arms == arm].mean() for arm in np.unique(people.arms)}
    return expected_auc(people.p, np.array([share[arm] for arm in people.arms]))


def metallic(people: Population) -> tuple[float, float]:
    """Sensitivity and specificity of the metallic hyperdensity sign for blood on follow-up."""
    sign = np.array([float(metallic_sign(patient.lesions)) for patient in people.patients])
    p = people.p
    return float((p * sign).sum() / p.sum()), float(((1 - p) * (1 - sign)).sum() / (1 - p).sum())


def share_in_normals(outcome: str, version: Version, patients: int, seed: int) -> float:
    """Mean probability of an outcome in normal patients."""
    return float(RECIPES[version].probabilities(outcome, drawn(version, Arm.NORMAL, Site.A, patients, seed)).mean())


def shuffled_auc(outcome: str, people: Population, times: int = 5) -> float:
    """Mean AUC of logistic regressions that have learned from shuffled labels: a half, unless something leaks."""
    labels, table = _labels(people, outcome), table_of(people, CHANNELS)
    shuffled = [stream(2026, "audit", "shuffle", k).permutation(labels) for k in range(times)]
    return float(np.mean([_fitted(table, each, people) for each in shuffled]))


def permuted_loss(outcome: str, people: Population, version: Version) -> dict[Channel, float]:
    """What the joint oracle loses when one channel is taken from another patient of the same arm."""
    recipe, best = RECIPES[version], attainable_auc(people.p)
    lost: dict[Channel, float] = {}
    for channel in CHANNELS:
        order = np.arange(len(people.p))
        for arm in np.unique(people.arms):
            rows = np.flatnonzero(people.arms == arm)
            order[rows] = stream(2026, "audit", channel, arm).permutation(rows)
        mixed = [
            {**shown, channel: people.shown[k][channel]} for shown, k in zip(people.shown, order.tolist(), strict=True)
        ]
        scores = np.array([recipe.logit_sum(outcome, shown, CHANNELS) for shown in mixed])
        lost[channel] = best - expected_auc(people.p, scores)
    return lost


def extra_axial_cases(version: Version, patients: int, seed: int) -> Counter[str]:
    """Number of injured patients with each kind of blood outside the brain, and with each kind of subdural."""
    counts: Counter[str] = Counter()
    for patient in drawn(version, Arm.TRAUMA, Site.A, patients, seed):
        shown = patient.lesions
        counts["subdural"] += bool(shown.sdh_ml or shown.sdh_old_ml)
        counts["epidural"] += shown.edh_ml > 0
        counts["subarachnoid"] += shown.sah_ml > 0
        if version is not Version.ONE and (shown.sdh_ml or shown.sdh_old_ml):
            counts[f"subdural, {shown.subdural.value}"] += 1
    return counts

"""Outcomes of the second edition: what no channel, and no sum over channels, can tell.

As in the first, each outcome is a Bernoulli draw whose probability ``p`` depends on nothing but what image, text and
variables show, so that ``p`` is the best that any model can know. Three things differ. Logits hold **products** of
facts of different channels (age x volume, glucose x infarct, anticoagulation x heterogeneity of the clot, ...), so that
a sum of what each channel says is not enough. A **missing value** is a fact with a weight of its own. And **oedema** is
what a reader sees: it is possible only where a dark rim or swollen dead brain is visible, as often in each arm with
lesions, and never in normal heads.

Signs follow published risk factors (those of :mod:`dicomnode.cohort.outcomes`; interaction of age and volume as in
max-ICH and FUNC cut-offs; BAT, BRAIN and spot-sign work for early, heterogeneous, anticoagulated clots; glucose with
infarct size for transformation). Sizes are this cohort's own; ``benchmarks/outcomes.py`` finds scale and intercepts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.outcomes import (
    CHANNELS,
    Channel,
    Outcomes,
    mortality_30d,
    outcomes_from,
    sigmoid,
    weighted_sum,
)
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.cohort.second.features import Features, facts
from dicomnode.cohort.second.tables import OUTCOMES


def logit_sum(name: str, shown: Features, channels: Sequence[Channel] = CHANNELS) -> float:
    """Weighted facts and products of one outcome that some channels show, before scale and intercept."""
    model = OUTCOMES[name]
    total = weighted_sum(model.weights, shown, channels)
    for product in model.products:
        if all(fact.channel in channels for fact in product.facts):
            first, second = (shown[fact.channel].get(fact.name, 0.0) - fact.centre for fact in product.facts)
            total += product.weight * first * second
    return total


def probabilities(name: str, patients: Sequence[Patient]) -> NDArray[np.float64]:
    """(patients,) probability of one outcome given all that can be seen."""
    model = OUTCOMES[name]
    return probabilities_by(name, patients)(model.scale, model.intercepts)


def probabilities_by(
    name: str, patients: Sequence[Patient]
) -> Callable[[float, Mapping[Arm, float]], NDArray[np.float64]]:
    """(scale, intercept of each arm) -> (patients,) probability of one outcome, for whoever looks for them."""
    shown = [facts(patient) for patient in patients]
    sums = np.array([logit_sum(name, each) for each in shown])
    gate = np.array([_possible(name, each) for each in shown])
    dead = np.array([mortality_30d(p) for p in patients]) if name == "prognosis_bad" else np.zeros(len(sums))

    def combine(scale: float, intercepts: Mapping[Arm, float]) -> NDArray[np.float64]:
        start = np.array([intercepts.get(patient.arm, 0.0) for patient in patients])
        return np.asarray(gate * (dead + (1.0 - dead) * sigmoid(start + scale * sums)))

    return combine


def _possible(name: str, shown: Features) -> float:
    """0 where the image rules an outcome out."""
    gate = OUTCOMES[name].gate
    return 1.0 if not gate else float(shown["image"][gate] > 0.0)


def defined(name: str, arm: Arm) -> bool:
    """Whether an outcome exists in an arm."""
    return not OUTCOMES[name].arms or arm in OUTCOMES[name].arms


def draw_outcomes(patient: Patient) -> Outcomes:
    """Draw what became of a patient."""
    names = [name for name in OUTCOMES if defined(name, patient.arm)]
    return outcomes_from(patient, {name: float(probabilities(name, [patient])[0]) for name in names})

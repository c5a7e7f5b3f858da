"""What can be known at all of an outcome of the synthetic cohort: printed beside what a model reached."""

from __future__ import annotations

from collections.abc import Mapping

from dicomnode.cohort.edition import Version
from dicomnode.cohort.second.frozen import CEILINGS
from dicomnode.train.importers.cohort import COHORT
from dicomnode.train.results import Results


def attainable(outcome: str, results: Results) -> Mapping[str, float]:
    """AUC of the best predictor from each set of channels, and of the joint oracle, by name.

    A model is held to the ceiling of its own channels.

    Returns
    -------
    Empty where the exams are not all of the cohort's second version, or it has no such outcome.
    """
    versions = set(results.groups.get(COHORT, ()))
    return CEILINGS.get(outcome, {}) if versions == {Version.TWO.value} else {}

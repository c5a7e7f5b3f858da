"""Scale and intercept of the cohort's outcomes, found anew from their target AUC and prevalence, beside those kept.

python benchmarks/outcomes.py --patients 20000 --cohort-version 2
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort import outcomes as first
from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.ranking import attainable_auc
from dicomnode.cohort.second import outcomes as second
from dicomnode.cohort.second.tables import LESIONS, OUTCOMES
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.versions import RECIPES

SEED = 2025
Intercepts = Mapping[Arm, float]


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of an increasing function."""
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2.0


def calibrate(name: str, patients: Sequence[Patient]) -> tuple[float, float]:
    """Scale and intercept that give an outcome of version 1 its target AUC and prevalence in ``patients``."""
    model, combine = first.OUTCOMES[name], first.probabilities_by(name, patients)

    def intercept_for(scale: float) -> float:
        return _bisect(lambda b: float(combine(scale, b).mean()) - model.target_prevalence, -30.0, 30.0)

    scale = _bisect(lambda s: attainable_auc(combine(s, intercept_for(s))) - model.target_auc, 0.0, 10.0)
    return round(scale, 3), round(intercept_for(scale), 3)


def calibrate_arms(name: str, patients: Sequence[Patient]) -> tuple[float, dict[str, float]]:
    """Scale and intercepts that give an outcome of version 2 its target AUC, and its prevalence in each arm."""
    model, combine = OUTCOMES[name], second.probabilities_by(name, patients)
    member = {arm: np.array([patient.arm is arm for patient in patients]) for arm in model.arms or LESIONS}

    def intercepts_for(scale: float) -> dict[Arm, float]:
        found = {}
        for arm, rows in member.items():
            mean = _mean_of(combine, scale, arm, rows)
            found[arm] = round(_bisect(lambda b, mean=mean: mean(b) - model.target_prevalence, -20.0, 20.0), 3)
        return found

    scale = _bisect(lambda s: attainable_auc(combine(s, intercepts_for(s))) - model.target_auc, 0.0, 6.0)
    return round(scale, 3), {arm.value: b for arm, b in intercepts_for(round(scale, 3)).items()}


def _mean_of(
    combine: Callable[[float, Intercepts], NDArray[np.float64]], scale: float, arm: Arm, rows: NDArray[np.bool_]
) -> Callable[[float], float]:
    return lambda b: float(combine(scale, {arm: b})[rows].mean())


def main() -> None:
    """Print one line of JSON for each outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--cohort-version", choices=list(Version), default=Version.TWO)
    parser.add_argument("--outcome", action="append", help="this one alone; may be given again")
    arguments = parser.parse_args()
    recipe = RECIPES[Version(arguments.cohort_version)]
    for name, arm in recipe.reference.items():
        if arguments.outcome and name not in arguments.outcome:
            continue
        seeds = [derived_seed(SEED, "patient", index) for index in range(1, arguments.patients + 1)]
        patients = [recipe.draw_patient(seed, arm, Site.A) for seed in seeds]
        if arguments.cohort_version == Version.ONE:
            kept: object = (first.OUTCOMES[name].scale, first.OUTCOMES[name].intercept)
            found: object = calibrate(name, patients)
        else:
            kept, found = (OUTCOMES[name].scale, OUTCOMES[name].intercepts), calibrate_arms(name, patients)
        print(json.dumps({"outcome": name, "found": found, "kept": kept}), flush=True)


if __name__ == "__main__":
    main()

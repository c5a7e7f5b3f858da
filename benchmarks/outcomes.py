"""Scale and intercept of the cohort's outcomes, found anew from their target AUC and prevalence, beside those kept.

python benchmarks/outcomes.py --patients 20000
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.outcomes import OUTCOMES, probabilities_by
from dicomnode.cohort.patients import Patient, draw_patient
from dicomnode.cohort.streams import derived_seed

SEED = 2025


def attainable_auc(p: NDArray[np.float64]) -> float:
    """Expected AUC of the best possible ranking when outcomes are drawn with probabilities ``p``.

    The probability that a random positive has a higher ``p`` than a random negative, ties counting half.
    """
    inverse = np.unique(p, return_inverse=True)[1]
    positive = np.bincount(inverse, weights=p)
    negative = np.bincount(inverse, weights=1.0 - p)
    below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    return float((positive * (below + negative / 2.0)).sum() / (positive.sum() * negative.sum()))


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of an increasing function."""
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2.0


def calibrate(name: str, patients: Sequence[Patient]) -> tuple[float, float]:
    """Scale and intercept that give an outcome its target AUC and prevalence in ``patients`` (of its reference arm)."""
    model, combine = OUTCOMES[name], probabilities_by(name, patients)

    def intercept_for(scale: float) -> float:
        return _bisect(lambda b: float(combine(scale, b).mean()) - model.target_prevalence, -30.0, 30.0)

    scale = _bisect(lambda s: attainable_auc(combine(s, intercept_for(s))) - model.target_auc, 0.0, 10.0)
    return round(scale, 3), round(intercept_for(scale), 3)


def main() -> None:
    """Print one line of JSON for each outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=20_000)
    count = parser.parse_args().patients
    for name, model in OUTCOMES.items():
        seeds = [derived_seed(SEED, "patient", index) for index in range(1, count + 1)]
        found = calibrate(name, [draw_patient(seed, model.reference) for seed in seeds])
        print(json.dumps({"outcome": name, "found": found, "kept": (model.scale, model.intercept)}))


if __name__ == "__main__":
    main()

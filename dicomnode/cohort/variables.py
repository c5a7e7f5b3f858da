"""Clinical variables of a synthetic patient: units, distributions, shared causes and what is missing.

Names carry their units; codings are those of the table in the project's method notes (UCUM units, 0/1 for history).
Every continuous variable is ``mean + sd x z`` (or the exponential of it), where ``z`` shares four standardised causes
with the others: age, vascular disease, severity of the present illness and inflammation. Loadings reproduce the sign
and rough size of well-known associations: D-dimer rises with age and severity, glucose with diabetes and severity,
blood pressure with hypertension, white cells with inflammation, haemoglobin falls with age.

Means and spreads are round figures of acute stroke populations, chosen for this cohort; they quote no single study.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuous:
    """One measured variable.

    Attributes
    ----------
    mean, sd : of the variable, or of its natural logarithm where ``log``.
    limits : values are clipped to.
    digits : decimals a laboratory reports.
    missing : share of patients without it.
    loadings : weight of each cause in the standardised value; the rest is noise of its own.
    """

    mean: float
    sd: float
    limits: tuple[float, float]
    digits: int
    missing: float
    loadings: Mapping[str, float] = field(default_factory=dict)
    log: bool = False

    def standardised(self, value: float) -> float:
        """Distance of a value from the mean in standard deviations."""
        return ((math.log(value) if self.log else value) - self.mean) / self.sd

    def draw(self, causes: Mapping[str, float], noise: float) -> float:
        """A value given the causes and a standard normal number of its own."""
        rest = max(0.05, 1.0 - sum(weight**2 for weight in self.loadings.values()))
        z = sum(weight * causes[name] for name, weight in self.loadings.items()) + noise * rest**0.5
        value = self.mean + self.sd * z
        value = math.exp(value) if self.log else value
        return round(min(max(value, self.limits[0]), self.limits[1]), self.digits)


@dataclass(frozen=True, slots=True)
class Binary:
    """One yes/no item of the history: probability at average causes, log odds per unit of each cause."""

    share: float
    missing: float
    log_odds: Mapping[str, float] = field(default_factory=dict)

    def draw(self, causes: Mapping[str, float], chance: float) -> int:
        """0 or 1 given the causes and a uniform number of its own."""
        logit = math.log(self.share / (1.0 - self.share))
        logit += sum(weight * causes[name] for name, weight in self.log_odds.items())
        return int(chance < 1.0 / (1.0 + math.exp(-logit)))


CONTINUOUS: dict[str, Continuous] = {
    "sbp_mmhg": Continuous(
        mean=156.0, sd=25.0, limits=(80.0, 260.0), digits=0, missing=0.01, loadings={"vascular": 0.35, "severity": 0.2}
    ),
    "dbp_mmhg": Continuous(
        mean=88.0,
        sd=14.0,
        limits=(40.0, 150.0),
        digits=0,
        missing=0.01,
        loadings={"vascular": 0.3, "severity": 0.15, "age": -0.25},
    ),
    "heart_rate_per_min": Continuous(
        mean=81.0,
        sd=15.0,
        limits=(40.0, 170.0),
        digits=0,
        missing=0.01,
        loadings={"severity": 0.25, "inflammation": 0.25},
    ),
    "temperature_celsius": Continuous(
        mean=36.8, sd=0.5, limits=(34.5, 40.5), digits=1, missing=0.05, loadings={"inflammation": 0.5, "severity": 0.15}
    ),
    "d_dimer_mg_l_feu": Continuous(
        mean=-0.45,
        sd=1.0,
        limits=(0.1, 35.0),
        digits=2,
        missing=0.15,
        loadings={"age": 0.35, "severity": 0.3, "inflammation": 0.2},
        log=True,
    ),
    "fibrinogen_g_l": Continuous(
        mean=3.4, sd=0.9, limits=(0.8, 9.0), digits=2, missing=0.15, loadings={"inflammation": 0.5, "age": 0.1}
    ),
    "wbc_10e9_l": Continuous(
        mean=2.15,
        sd=0.32,
        limits=(1.5, 35.0),
        digits=1,
        missing=0.04,
        loadings={"inflammation": 0.6, "severity": 0.2},
        log=True,
    ),
    "neutrophils_10e9_l": Continuous(
        mean=1.75,
        sd=0.42,
        limits=(0.5, 30.0),
        digits=1,
        missing=0.08,
        loadings={"inflammation": 0.65, "severity": 0.25},
        log=True,
    ),
    "lymphocytes_10e9_l": Continuous(
        mean=0.4,
        sd=0.42,
        limits=(0.2, 8.0),
        digits=1,
        missing=0.08,
        loadings={"inflammation": -0.35, "age": -0.2},
        log=True,
    ),
    "platelets_10e9_l": Continuous(
        mean=222.0, sd=62.0, limits=(25.0, 700.0), digits=0, missing=0.04, loadings={"age": -0.1, "inflammation": 0.15}
    ),
    "haemoglobin_g_l": Continuous(
        mean=137.0, sd=17.0, limits=(60.0, 190.0), digits=0, missing=0.04, loadings={"age": -0.25}
    ),
    "glucose_mmol_l": Continuous(
        mean=1.98,
        sd=0.32,
        limits=(2.5, 30.0),
        digits=1,
        missing=0.04,
        loadings={"vascular": 0.4, "severity": 0.3},
        log=True,
    ),
    "hba1c_percent": Continuous(
        mean=1.82, sd=0.18, limits=(4.2, 14.0), digits=1, missing=0.3, loadings={"vascular": 0.5}, log=True
    ),
    "sodium_mmol_l": Continuous(
        mean=138.5, sd=3.5, limits=(115.0, 160.0), digits=0, missing=0.04, loadings={"age": -0.1}
    ),
    "creatinine_umol_l": Continuous(
        mean=4.42,
        sd=0.32,
        limits=(30.0, 900.0),
        digits=0,
        missing=0.04,
        loadings={"age": 0.3, "vascular": 0.3},
        log=True,
    ),
    "ldl_mmol_l": Continuous(mean=2.9, sd=0.95, limits=(0.6, 7.5), digits=1, missing=0.25, loadings={"age": -0.15}),
    "hs_crp_mg_l": Continuous(
        mean=1.2, sd=1.1, limits=(0.1, 300.0), digits=1, missing=0.25, loadings={"inflammation": 0.7}, log=True
    ),
    "inr": Continuous(mean=0.05, sd=0.1, limits=(0.8, 2.0), digits=2, missing=0.06, loadings={"age": 0.15}, log=True),
}

HISTORY: dict[str, Binary] = {
    "hypertension": Binary(0.66, 0.02, {"age": 0.5, "vascular": 0.9}),
    "diabetes": Binary(0.24, 0.02, {"vascular": 1.0}),
    "atrial_fibrillation": Binary(0.17, 0.03, {"age": 0.8, "vascular": 0.3}),
    "coronary_disease": Binary(0.15, 0.04, {"age": 0.5, "vascular": 0.8}),
    "prior_stroke": Binary(0.17, 0.03, {"age": 0.4, "vascular": 0.6}),
    "smoking": Binary(0.27, 0.08, {"age": -0.6, "vascular": 0.3}),
    "antiplatelet": Binary(0.28, 0.05, {"age": 0.5, "vascular": 0.7}),
    "anticoagulant": Binary(0.12, 0.05, {"age": 0.6, "vascular": 0.4}),
}

SCORES_MISSING: dict[str, float] = {"gcs": 0.03, "nihss": 0.06, "onset_to_ct_h": 0.08}


def nihss_motor(total: int, rng: np.random.Generator) -> int:
    """Motor items 5a, 5b, 6a, 6b (0 to 16) of a NIHSS total: half of it on the average, never more than it."""
    return min(int(rng.binomial(total, 0.5)), 16)

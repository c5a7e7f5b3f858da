"""Which values are not recorded, and why: who is not so ill has fewer tests, who is too ill cannot be examined.

A missing value is a sign of its own here, as in hospitals (informative presence); the outcomes of the second edition
give it weight. Shares and slopes are this cohort's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dicomnode.cohort.streams import uniform


@dataclass(frozen=True, slots=True)
class Gap:
    """How often one variable is missing at site A, and how that changes.

    Attributes
    ----------
    share : at average severity.
    severity : added to the log odds for each standard deviation of severity.
    """

    share: float
    severity: float = 0.0


GAPS: dict[str, Gap] = {
    "d_dimer_mg_l_feu": Gap(0.35, -1.3),
    "fibrinogen_g_l": Gap(0.25, -0.8),
    "hs_crp_mg_l": Gap(0.3, -0.6),
    "hba1c_percent": Gap(0.35, 0.3),
    "ldl_mmol_l": Gap(0.3, 0.3),
    "temperature_celsius": Gap(0.06, -0.5),
    "inr": Gap(0.12, -0.9),
    "neutrophils_10e9_l": Gap(0.12, -0.5),
    "lymphocytes_10e9_l": Gap(0.12, -0.5),
    "wbc_10e9_l": Gap(0.06, -0.5),
    "glucose_mmol_l": Gap(0.06, -0.5),
    "sodium_mmol_l": Gap(0.06, -0.5),
    "creatinine_umol_l": Gap(0.06, -0.5),
    "platelets_10e9_l": Gap(0.06, -0.5),
    "haemoglobin_g_l": Gap(0.06, -0.5),
    "gcs": Gap(0.1, 1.2),
    "nihss": Gap(0.2, 1.3),
    "onset_to_ct_h": Gap(0.22, 0.8),
    "anticoagulant": Gap(0.08, 0.7),
    "antiplatelet": Gap(0.08, 0.6),
    "atrial_fibrillation": Gap(0.05, 0.3),
    "smoking": Gap(0.12, 0.7),
}
"""Laboratory values are wanting in the slightly ill, what has to be asked or examined in the gravely ill."""
SITE_LOG_ODDS: dict[str, float] = {"A": 0.0, "B": 0.4, "C": 0.8}
OTHERS = Gap(0.02)
NEVER_MISSING = ("iv_thrombolysis", "nihss_motor")


def lose(
    values: Mapping[str, float | int | None], site: str, severity: float, seed: int
) -> dict[str, float | int | None]:
    """Recorded values: some are not there, more often at some sites and by the severity of the illness.

    Parameters
    ----------
    site : name of the site.
    severity : of the illness, in standard deviations.
    """
    kept = dict(values)
    for name in values:
        if name not in NEVER_MISSING and uniform(seed, "gap", name) < _share(name, site, severity):
            kept[name] = None
    if kept["nihss"] is None:
        kept["nihss_motor"] = None
    return kept


def _share(name: str, site: str, severity: float) -> float:
    gap = GAPS.get(name, OTHERS)
    logit = math.log(gap.share / (1.0 - gap.share)) + gap.severity * severity + SITE_LOG_ODDS[site]
    return 1.0 / (1.0 + math.exp(-logit))

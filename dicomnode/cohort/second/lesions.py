"""What the baseline CT of a patient of the second edition shows, in numbers.

Oedema is there only where it can be seen: from ``VISIBLE_ML`` and ``VISIBLE_HU`` on. Rims of clots grow with the hours
since onset, dead brain darkens and swells with them. The injury of the barrier between blood and brain decides how
dense and how large the staining after thrombectomy is. Figures are this cohort's own where no source is named.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dicomnode.cohort import lesions as first
from dicomnode.cohort.bleeds import draw_hu
from dicomnode.cohort.lesions import Lesions, Values
from dicomnode.cohort.second.trauma import draw_trauma
from dicomnode.cohort.statistics import BleedKind
from dicomnode.cohort.streams import stream

VISIBLE_ML, VISIBLE_HU = 1.0, 4.5
"""Oedema of a smaller volume, or less dark, is not visible and does not count as oedema."""
METALLIC_HU = 90.0
"""Attenuation from which staining in the brain is called the metallic hyperdensity sign."""
SWOLLEN_ML = 4.0
"""An infarct of this volume and ``VISIBLE_HU`` of darkness shows swelling."""


def darkness(hours: float) -> float:
    """Share of the final darkness of dead brain that is reached some hours after onset (0 to 1)."""
    return float(1.0 - np.exp(-max(hours, 0.0) / 12.0))


def rim_share(hours: float) -> float:
    """Share of the final rim of oedema around a clot that is reached some hours after onset (0 to 1)."""
    return float(1.0 - np.exp(-max(hours, 0.0) / 8.0))


def _ich(factor: float, onset_h: float, seed: int) -> Values:
    values = first.draw_ich(factor, seed)
    rng = stream(seed, "second", "ich")
    final = float(values["iph_ml"]) * float(np.exp(rng.normal(0.2, 0.5)))
    rim = min(final * rim_share(onset_h + 1.0), 60.0)
    hu = float(rng.uniform(4.0, 13.0))
    seen = rim >= VISIBLE_ML and hu >= VISIBLE_HU
    return {**values, "oedema_ml": rim if seen else 0.0, "oedema_hu": hu if seen else 0.0}


def _post_evt(factor: float, onset_h: float, seed: int) -> Values:
    values = first.draw_post_evt(factor, seed)
    rng = stream(seed, "second", "post_evt")
    injury = float(rng.normal())
    stained = bool(injury + 0.8 * rng.normal() > -0.45)
    hu = float(np.clip(88.5 + 15.0 * injury + 9.0 * rng.normal(), 55.0, 170.0))
    volume = float(np.clip(4.5 * np.exp(0.45 * injury + 0.5 * rng.normal()), 0.5, 30.0))
    return {
        **values,
        "stain_ml": volume if stained else 0.0,
        "stain_hu": hu if stained else 0.0,
        "infarct_depth_hu": float(rng.uniform(10.0, 18.0)) * darkness(onset_h),
        "sah_ml": 0.0 if rng.random() > 0.1 else float(np.clip(2.0 * np.exp(0.6 * rng.normal()), 0.5, 8.0)),
        "clot_hu": draw_hu(BleedKind.SUBARACHNOID, rng),
        "burden": float(0.6 * np.log(float(values["infarct_ml"]) / 22.0) + 0.3 * injury),
    }


def _stroke(factor: float, onset_h: float, seed: int) -> Values:
    rng = stream(seed, "second", "stroke")
    depth = float(rng.uniform(10.0, 18.0)) * darkness(onset_h)
    return {**first.draw_stroke(factor, seed), "infarct_depth_hu": depth}


def swelling_at(hours: float) -> float:
    """Room that dead brain takes, as a share of its volume: greatest after two to four days."""
    return float(0.05 + 0.25 * (1.0 - np.exp(-((max(hours, 0.0) / 36.0) ** 2))))


def draw_lesions(arm: str, age_years: int, severity_shift: float, onset_h: float, seed: int) -> Lesions:
    """What the baseline CT of a patient shows.

    Parameters
    ----------
    arm : "ich", "post_evt", "stroke_no_evt", "trauma" or "normal".
    severity_shift : of the site, in standard deviations; one is half a log unit of volume.
    onset_h : hours from onset to the CT.
    """
    factor = float(np.exp(0.5 * severity_shift))
    shown = first.draw_lesions("normal", age_years, severity_shift, seed)
    timed = {"ich": _ich, "post_evt": _post_evt, "stroke_no_evt": _stroke}
    if arm in timed:
        values = timed[arm](factor, onset_h, seed)
        shown = dataclasses.replace(shown, **values, swelling=swelling_at(onset_h))
    elif arm == "trauma":
        shown = dataclasses.replace(shown, **draw_trauma(factor, seed, age_years))
    return shown


def visible_oedema(shown: Lesions) -> bool:
    """Whether a reader can see oedema: a dark rim, or swollen dead brain."""
    rim = shown.oedema_ml >= VISIBLE_ML and shown.oedema_hu >= VISIBLE_HU
    return rim or (shown.infarct_ml >= SWOLLEN_ML and shown.infarct_depth_hu >= VISIBLE_HU)


def metallic_sign(shown: Lesions) -> bool:
    """Whether staining is as dense as metal: 90 HU or more within the brain, after thrombectomy."""
    return shown.stain_ml > 0.0 and shown.stain_hu >= METALLIC_HU

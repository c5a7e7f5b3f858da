"""Patients of the second edition: what is missing means something, and a referrer denies, doubts or says nothing."""

from __future__ import annotations

from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import (
    CASE_MIX,
    Arm,
    Patient,
    Site,
    choose_arm,
    draw_causes,
    draw_demographics,
    draw_onset_to_ct_h,
    draw_symptoms,
    draw_variables,
)
from dicomnode.cohort.second.lesions import draw_lesions
from dicomnode.cohort.second.mentions import draw_mentions
from dicomnode.cohort.second.missing import lose
from dicomnode.cohort.streams import uniform

MIX: dict[Site, dict[Arm, float]] = {
    Site.A: {Arm.ICH: 0.27, Arm.POST_EVT: 0.23, Arm.STROKE_NO_EVT: 0.25, Arm.TRAUMA: 0.2, Arm.NORMAL: 0.05},
    Site.B: {Arm.ICH: 0.3, Arm.POST_EVT: 0.12, Arm.STROKE_NO_EVT: 0.25, Arm.TRAUMA: 0.28, Arm.NORMAL: 0.05},
    Site.C: {Arm.ICH: 0.25, Arm.STROKE_NO_EVT: 0.4, Arm.TRAUMA: 0.3, Arm.NORMAL: 0.05},
}
"""Shares of ``mixed``. Normal heads are few, so that the arm alone does not tell whether there is oedema."""
FOLLOWUP_H: dict[Arm, tuple[float, float]] = {
    Arm.ICH: (6.0, 48.0),
    Arm.POST_EVT: (6.0, 72.0),
    Arm.STROKE_NO_EVT: (24.0, 120.0),
    Arm.TRAUMA: (6.0, 24.0),
    Arm.NORMAL: (24.0, 240.0),
}
"""Hours from the first to the second CT."""


def draw_arm(arm: Arm, site: Site, seed: int) -> Arm:
    """The arm of one patient: ``arm`` itself, or one of the site's mix."""
    return choose_arm(MIX[site], seed) if arm is Arm.MIXED else arm


def draw_followup_h(arm: Arm, seed: int) -> float:
    """Hours from the first to the second CT: early ones are more frequent."""
    low, high = FOLLOWUP_H[arm]
    return round(float(low * (high / low) ** uniform(seed, "second", "followup_h")), 1)


def draw_patient(seed: int, arm: Arm = Arm.MIXED, site: Site = Site.A) -> Patient:
    """Draw one patient of the second edition.

    Parameters
    ----------
    seed : decides everything; the same arguments give the same patient on every platform.
    """
    own = draw_arm(arm, site, seed)
    age, sex = draw_demographics(own, site, seed)
    onset_h = draw_onset_to_ct_h(own, seed)
    lesions = draw_lesions(own.value, age, CASE_MIX[site].severity_shift, onset_h, seed)
    causes = {**draw_causes(own, site, age, lesions.burden, seed), "onset_h": onset_h}
    symptoms = draw_symptoms(own, causes, seed)
    return Patient(
        seed=seed,
        arm=own,
        site=site,
        age_years=age,
        sex=sex,
        variables=lose(draw_variables(own, lesions, causes, seed), site.value, causes["severity"], seed),
        symptoms=symptoms,
        lesions=lesions,
        causes=causes,
        version=Version.TWO,
        mentions=draw_mentions(symptoms, seed),
        followup_h=draw_followup_h(own, seed),
    )

"""Synthetic patients before any image: demographics, variables, symptoms and what their scans will show.

A patient has three kinds of facts, and every one is seen in one channel only: ``lesions`` in the image, ``symptoms`` in
the report's text, ``variables`` in the record. Outcomes are drawn from all three (:mod:`dicomnode.cohort.outcomes`).
Every component draws from a stream of its own name, so that a new one changes no old figure.

Location shares, volumes and companions of bleeds: :mod:`dicomnode.cohort.bleeds`, :mod:`dicomnode.cohort.statistics`.
Everything else is a round figure of this cohort with the sign of well-known risk factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dicomnode.cohort.edition import Version
from dicomnode.cohort.lesions import Lesions, draw_lesions
from dicomnode.cohort.second.mentions import Mention
from dicomnode.cohort.streams import normal, stream, uniform
from dicomnode.cohort.variables import CONTINUOUS, HISTORY, SCORES_MISSING, nihss_motor


class Arm(StrEnum):
    """Population a patient belongs to. ``MIXED`` draws one of the others."""

    ICH = "ich"
    POST_EVT = "post_evt"
    STROKE_NO_EVT = "stroke_no_evt"
    TRAUMA = "trauma"
    NORMAL = "normal"
    MIXED = "mixed"


class Site(StrEnum):
    """Hospital: scanner, protocol and case mix differ."""

    A = "A"
    B = "B"
    C = "C"


@dataclass(frozen=True, slots=True)
class CaseMix:
    """What makes one site's patients differ.

    Attributes
    ----------
    age_shift_years, severity_shift : added to every arm (severity in standard deviations).
    arms : shares of the arms within ``mixed``, in the order of :class:`Arm`.
    missing_factor : multiplies the share of missing values.
    """

    age_shift_years: float
    severity_shift: float
    arms: tuple[float, float, float, float, float]
    missing_factor: float


CASE_MIX: dict[Site, CaseMix] = {
    Site.A: CaseMix(0.0, 0.0, (0.25, 0.2, 0.2, 0.15, 0.2), 1.0),
    Site.B: CaseMix(3.0, 0.15, (0.3, 0.1, 0.2, 0.25, 0.15), 1.5),
    Site.C: CaseMix(-3.0, -0.15, (0.2, 0.0, 0.3, 0.2, 0.3), 2.0),
}

AGE: dict[Arm, tuple[float, float]] = {
    Arm.ICH: (67.0, 13.0),
    Arm.POST_EVT: (71.0, 12.0),
    Arm.STROKE_NO_EVT: (69.0, 12.0),
    Arm.TRAUMA: (55.0, 21.0),
    Arm.NORMAL: (57.0, 18.0),
}
"""Mean and SD in years; ages are kept within 18 and 96."""

ONSET_TO_CT_H: dict[Arm, tuple[float, float]] = {
    Arm.ICH: (1.25, 0.8),
    Arm.POST_EVT: (1.95, 0.5),
    Arm.STROKE_NO_EVT: (2.2, 0.9),
    Arm.TRAUMA: (0.9, 0.7),
    Arm.NORMAL: (2.2, 1.0),
}
"""Mean and SD of the logarithm of the hours. A CT after thrombectomy comes late by nature."""

SYMPTOMS: dict[Arm, Mapping[str, float]] = {
    Arm.ICH: {
        "cognitive_decline": 0.2,
        "found_unresponsive": 0.22,
        "vomiting": 0.35,
        "headache": 0.45,
        "seizure": 0.08,
        "worsening": 0.25,
    },
    Arm.POST_EVT: {
        "several_passes": 0.4,
        "incomplete_reperfusion": 0.3,
        "tirofiban": 0.2,
        "agitation": 0.2,
        "worsening": 0.2,
        "vomiting": 0.15,
    },
    Arm.STROKE_NO_EVT: {
        "unsteadiness": 0.35,
        "walking_difficulty": 0.4,
        "vision": 0.25,
        "fluctuating": 0.25,
        "vomiting": 0.12,
        "headache": 0.2,
    },
    Arm.TRAUMA: {
        "loss_of_consciousness": 0.4,
        "vomiting": 0.25,
        "headache": 0.5,
        "high_energy": 0.3,
        "seizure": 0.06,
        "worsening": 0.15,
    },
    Arm.NORMAL: {"headache": 0.5, "dizziness": 0.3, "vomiting": 0.1, "unsteadiness": 0.15, "vision": 0.12},
}
"""What the referrer writes and nobody measures: share of patients at average severity."""

GRAVE = frozenset({"found_unresponsive", "worsening", "loss_of_consciousness", "vomiting"})


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One synthetic patient at the time of the baseline CT.

    Attributes
    ----------
    seed : of all that belongs to the patient.
    age_years, sex : demographics; sex is "F" or "M".
    variables : as recorded, ``None`` where missing; names carry the unit.
    symptoms : what the text says, by name.
    lesions : what the baseline CT shows.
    mentions : what the referrer writes of each symptom, and ``followup_h``, hours to the second CT: second edition.
    """

    seed: int
    arm: Arm
    site: Site
    age_years: int
    sex: str
    variables: Mapping[str, float | int | None]
    symptoms: Mapping[str, bool]
    lesions: Lesions
    causes: Mapping[str, float] = field(repr=False, default_factory=dict)
    version: Version = Version.ONE
    mentions: Mapping[str, Mention] = field(default_factory=dict)
    followup_h: float = 0.0

    @property
    def recorded(self) -> dict[str, float | int | str | None]:
        """What the cohort's table says of the patient: demographics and variables, ``None`` where missing."""
        return {"age_years": self.age_years, "sex": self.sex, **self.variables}


def draw_arm(arm: Arm, site: Site, seed: int) -> Arm:
    """The arm of one patient: ``arm`` itself, or one of the site's mix."""
    if arm is not Arm.MIXED:
        return arm
    arms = [member for member in Arm if member is not Arm.MIXED]
    return choose_arm(dict(zip(arms, CASE_MIX[site].arms, strict=True)), seed)


def choose_arm(mix: Mapping[Arm, float], seed: int) -> Arm:
    """One of the arms of a mix, by their shares."""
    return list(mix)[int(stream(seed, "patient", "arm").choice(len(mix), p=list(mix.values())))]


def draw_causes(arm: Arm, site: Site, age_years: int, burden: float, seed: int) -> dict[str, float]:
    """Standardised causes; severity shares half of its variance with what the image shows."""
    rng = stream(seed, "patient", "causes")
    noise = rng.standard_normal(3)
    age = (age_years - 67.0) / 13.0
    calm = -1.5 if arm is Arm.NORMAL else 0.0
    return {
        "age": age,
        "vascular": float(0.3 * age + 0.95 * noise[0]),
        "severity": float(0.7 * burden + 0.7 * noise[1] + CASE_MIX[site].severity_shift + calm),
        "inflammation": float(noise[2] + 0.2 * burden),
    }


def _gcs(arm: Arm, lesions: Lesions, severity: float, noise: float) -> int:
    """Glasgow Coma Scale 3 to 15: mostly full, falling with severity and in brain-stem bleeds."""
    shift = {Arm.ICH: 12.4, Arm.POST_EVT: 12.5, Arm.STROKE_NO_EVT: 14.6, Arm.TRAUMA: 13.6, Arm.NORMAL: 16.5}[arm]
    stem = 2.0 if lesions.site_of_bleed == "brainstem" else 0.0
    return min(max(round(shift - 2.7 * max(severity, -1.2) - stem + 1.2 * noise), 3), 15)


def _nihss(arm: Arm, severity: float, noise: float) -> int:
    mean = {Arm.ICH: 12.0, Arm.POST_EVT: 15.0, Arm.STROKE_NO_EVT: 8.0, Arm.TRAUMA: 3.0, Arm.NORMAL: 0.8}[arm]
    return min(round(0.9 * mean * math.exp(0.45 * severity + 0.25 * noise)), 42)


def draw_onset_to_ct_h(arm: Arm, seed: int) -> float:
    """Hours from onset to the CT."""
    mean, sd = ONSET_TO_CT_H[arm]
    return round(math.exp(mean + sd * normal(seed, "variable", "onset_to_ct_h")), 1)


def draw_variables(arm: Arm, lesions: Lesions, causes: Mapping[str, float], seed: int) -> dict[str, float | int | None]:
    """Variables, drawn one by one from streams of their own names; none is missing yet."""
    values: dict[str, float | int | None] = {}
    for name, item in HISTORY.items():
        values[name] = item.draw(causes, uniform(seed, "variable", name))
    for name, measured in CONTINUOUS.items():
        values[name] = measured.draw(causes, normal(seed, "variable", name))
    if values["anticoagulant"]:
        values["inr"] = round(1.4 + 2.0 * uniform(seed, "variable", "inr on anticoagulant"), 2)
    values["gcs"] = _gcs(arm, lesions, causes["severity"], normal(seed, "variable", "gcs"))
    total = _nihss(arm, causes["severity"], normal(seed, "variable", "nihss"))
    values["nihss"] = total
    values["nihss_motor"] = nihss_motor(total, stream(seed, "variable", "nihss_motor"))
    values["onset_to_ct_h"] = draw_onset_to_ct_h(arm, seed)
    thrombolysis = {Arm.POST_EVT: 0.45, Arm.STROKE_NO_EVT: 0.3}.get(arm, 0.0)
    values["iv_thrombolysis"] = int(uniform(seed, "variable", "iv_thrombolysis") < thrombolysis)
    return values


def _is_laboratory(name: str) -> bool:
    """Whether a variable is measured in blood."""
    return name in CONTINUOUS and "mmhg" not in name and "per_min" not in name and "celsius" not in name


def _lose(values: dict[str, float | int | None], factor: float, seed: int) -> dict[str, float | int | None]:
    """Some values missing: one draw for "no blood taken" on top of each variable's own."""
    no_blood = uniform(seed, "missing", "laboratory") < 0.02 * factor
    kept = dict(values)
    for name in values:
        item = CONTINUOUS.get(name) or HISTORY.get(name)
        share = item.missing if item else SCORES_MISSING.get(name, 0.0)
        if uniform(seed, "missing", name) < share * factor or (no_blood and _is_laboratory(name)):
            kept[name] = None
    if kept["nihss"] is None:
        kept["nihss_motor"] = None
    return kept


def draw_symptoms(arm: Arm, causes: Mapping[str, float], seed: int) -> dict[str, bool]:
    """What ails the patient: some of it more often where the illness is severe."""
    result = {}
    for name, share in SYMPTOMS[arm].items():
        logit = math.log(share / (1.0 - share)) + (0.5 * causes["severity"] if name in GRAVE else 0.0)
        logit += 0.9 * causes["age"] if name == "cognitive_decline" else 0.0
        result[name] = bool(uniform(seed, "symptom", name) < 1.0 / (1.0 + math.exp(-logit)))
    return result


def draw_demographics(arm: Arm, site: Site, seed: int) -> tuple[int, str]:
    """Age in years, and sex as "F" or "M"."""
    rng = stream(seed, "patient", "demographics")
    mean, sd = AGE[arm]
    age = min(max(round(rng.normal(mean + CASE_MIX[site].age_shift_years, sd)), 18), 96)
    return age, "F" if rng.random() < (0.3 if arm is Arm.TRAUMA else 0.46) else "M"


def draw_patient(seed: int, arm: Arm = Arm.MIXED, site: Site = Site.A) -> Patient:
    """Draw one patient.

    Parameters
    ----------
    seed : decides everything; the same arguments give the same patient on every platform.
    """
    own = draw_arm(arm, site, seed)
    age, sex = draw_demographics(own, site, seed)
    lesions = draw_lesions(own.value, age, CASE_MIX[site].severity_shift, seed)
    causes = draw_causes(own, site, age, lesions.burden, seed)
    variables = _lose(draw_variables(own, lesions, causes, seed), CASE_MIX[site].missing_factor, seed)
    return Patient(
        seed=seed,
        arm=own,
        site=site,
        age_years=age,
        sex=sex,
        variables=variables,
        symptoms=draw_symptoms(own, causes, seed),
        lesions=lesions,
        causes=causes,
    )

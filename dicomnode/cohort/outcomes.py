"""Outcomes drawn from what image, text and variables show, with the probability that all of them together give.

Each outcome is a Bernoulli draw with ``p = 1 / (1 + exp(-(intercept + scale x sum(weight x feature))))``. Features are
*exactly* what a reader with all three channels could know: lesions as painted, symptoms as written, variables as
recorded. A missing variable adds nothing to the sum and nothing to the outcome, so that ``p`` **is** the probability
given all there is to see, and no model can rank patients better than it does (the oracle). ``scale`` sets how much can
be known at all, ``intercept`` the prevalence; ``benchmarks/outcomes.py`` finds both, the figures
are kept here.

Mortality at 30 days is that of the ICH Score table (Hemphill 2001, derivation cohort): 0, 13, 26, 72, 97, 100, 100 %.
A bad outcome (GOS 1 to 3) is death or, in survivors, a logistic draw. Weights have the sign of published risk factors:
volume, IVH, location, age and GCS (ICH Score, FUNC); onset time, anticoagulation and heterogeneity of the clot for
growth (BAT, BRAIN); D-dimer, diastolic pressure, heart rate, diabetes and the words "unsteadiness", "walking" and
"vision" for deterioration within 7 days (its prevalence of 38 % too); attenuation and place of staining for blood on
follow-up (metallic hyperdensity sign). Their sizes are this cohort's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.lesions import LOBES, Lesions
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.cohort.streams import stream, uniform
from dicomnode.cohort.variables import CONTINUOUS

Channel = Literal["image", "text", "variables"]
CHANNELS: tuple[Channel, ...] = ("image", "text", "variables")

ICH_SCORE_MORTALITY = (0.0, 0.13, 0.26, 0.72, 0.97, 1.0, 1.0)
GCS_POINTS_UNKNOWN = (0.45, 0.35, 0.2)
"""Weights of 0, 1 and 2 points where the GCS is not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeModel:
    """One outcome.

    Attributes
    ----------
    arms : populations it is defined in; empty means all.
    reference : population that ``target_auc`` and ``target_prevalence`` hold for (site A).
    weights : of the features of each channel.
    scale, intercept : found by ``benchmarks/outcomes.py``.
    """

    arms: tuple[Arm, ...]
    reference: Arm
    target_auc: float
    target_prevalence: float
    weights: Mapping[Channel, Mapping[str, float]]
    scale: float
    intercept: float


OUTCOMES: dict[str, OutcomeModel] = {
    "prognosis_bad": OutcomeModel(
        arms=(Arm.ICH,),
        reference=Arm.ICH,
        target_auc=0.90,
        target_prevalence=145 / 294,
        weights={
            "image": {"log_iph": 0.6, "ivh": 0.4, "infratentorial": 0.5, "deep": 0.25, "leukoaraiosis": 0.3},
            "text": {"cognitive_decline": 0.9, "found_unresponsive": 0.7, "vomiting": 0.25, "worsening": 0.5},
            "variables": {"age": 0.55, "gcs": -0.7, "glucose_mmol_l": 0.3, "anticoagulant": 0.5, "inr": 0.15},
        },
        scale=1.389,
        intercept=-1.974,
    ),
    "expansion": OutcomeModel(
        arms=(Arm.ICH,),
        reference=Arm.ICH,
        target_auc=0.78,
        target_prevalence=0.28,
        weights={
            "image": {"heterogeneity": 0.8, "log_iph": 0.4},
            "text": {"worsening": 0.6},
            "variables": {"onset_to_ct_h": -0.6, "anticoagulant": 0.8, "inr": 0.2, "sbp_mmhg": 0.25},
        },
        scale=0.808,
        intercept=-1.622,
    ),
    "deterioration": OutcomeModel(
        arms=(Arm.STROKE_NO_EVT,),
        reference=Arm.STROKE_NO_EVT,
        target_auc=0.80,
        target_prevalence=0.38,
        weights={
            "image": {"log_infarct": 0.35, "hyperdense_artery": 0.6, "leukoaraiosis": 0.15},
            "text": {"unsteadiness": 0.7, "walking_difficulty": 0.6, "vision": 0.6, "fluctuating": 0.5},
            "variables": {
                "d_dimer_mg_l_feu": 0.5,
                "dbp_mmhg": 0.35,
                "heart_rate_per_min": 0.35,
                "glucose_mmol_l": 0.2,
                "nihss": 0.3,
                "diabetes": 0.45,
                "atrial_fibrillation": 0.25,
            },
        },
        scale=1.112,
        intercept=-1.813,
    ),
    "oedema": OutcomeModel(
        arms=(),
        reference=Arm.MIXED,
        target_auc=0.92,
        target_prevalence=0.42,
        weights={
            "image": {"log_swelling": 0.9, "log_blood": 0.3, "atrophy": -0.3},
            "text": {"vomiting": 0.6, "headache": 0.3, "worsening": 0.8, "fluctuating": 0.4},
            "variables": {
                "age": -0.25,
                "glucose_mmol_l": 0.35,
                "sodium_mmol_l": -0.4,
                "wbc_10e9_l": 0.35,
                "nihss": 0.3,
                "onset_to_ct_h": 0.4,
            },
        },
        scale=1.325,
        intercept=0.05,
    ),
    "haemorrhage_followup": OutcomeModel(
        arms=(Arm.POST_EVT,),
        reference=Arm.POST_EVT,
        target_auc=0.88,
        target_prevalence=0.40,
        weights={
            "image": {"stain": 0.4, "stain_hu": 0.7, "stain_deep": 0.4, "log_infarct": 0.5, "sah": 0.8},
            "text": {"several_passes": 0.8, "incomplete_reperfusion": 0.5, "tirofiban": 0.6, "agitation": 0.3},
            "variables": {
                "glucose_mmol_l": 0.4,
                "sbp_mmhg": 0.3,
                "nihss": 0.3,
                "atrial_fibrillation": 0.4,
                "platelets_10e9_l": -0.25,
                "iv_thrombolysis": 0.3,
            },
        },
        scale=1.683,
        intercept=-3.597,
    ),
}


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of one patient.

    Attributes
    ----------
    labels : 0 or 1 by outcome; outcomes not defined for the arm are absent.
    oracle : probability of a 1 given all that image, text and variables can show, for the same outcomes.
    gos : Glasgow Outcome Scale 1 (death) to 5 (good) at 90 days; None outside the ICH arm.
    heidelberg : class of the bleed on follow-up after thrombectomy ("1a", "1b", "1c", "2", "3c"), empty without.
    """

    labels: Mapping[str, int]
    oracle: Mapping[str, float]
    gos: int | None
    heidelberg: str


def scaled_log(volume_ml: float, middle_ml: float) -> float:
    """Logarithm of a volume, zero at ``middle_ml`` and bounded for none."""
    return float(np.log((volume_ml + 0.5) / (middle_ml + 0.5)))


def image_features(lesions: Lesions) -> dict[str, float]:
    """What the image shows, in units of about one standard deviation."""
    return {
        "log_iph": scaled_log(lesions.iph_ml, 10.0),
        "log_infarct": scaled_log(lesions.infarct_ml, 18.0),
        "log_swelling": scaled_log(lesions.oedema_ml + 0.6 * lesions.infarct_ml, 5.0),
        "log_blood": scaled_log(lesions.blood_ml, 5.0),
        "ivh": float(lesions.ivh_ml > 0),
        "sah": float(lesions.sah_ml > 0),
        "infratentorial": float(lesions.infratentorial),
        "deep": float(lesions.site_of_bleed in ("basal ganglia", "thalamus")),
        "lobar": float(lesions.site_of_bleed in LOBES),
        "heterogeneity": (lesions.heterogeneity - 0.375) / 0.22,
        "stain": float(lesions.stain_ml > 0),
        "stain_hu": (lesions.stain_hu - 82.0) / 20.0 if lesions.stain_ml > 0 else 0.0,
        "stain_deep": float(lesions.stain_ml > 0 and abs(lesions.place_mm[0]) < 34.0 and abs(lesions.place_mm[1]) < 25),
        "hyperdense_artery": float(lesions.hyperdense_artery),
        "atrophy": (lesions.atrophy - 0.5) / 0.25,
        "leukoaraiosis": float(lesions.leukoaraiosis) - 1.0,
    }


def variable_features(patient: Patient) -> dict[str, float]:
    """What the record shows: standardised values, 0/1 for history; what is missing adds nothing."""
    result = {"age": (patient.age_years - 67.0) / 13.0}
    for name, value in patient.variables.items():
        if value is None:
            result[name] = 0.0
        elif name in CONTINUOUS:
            result[name] = CONTINUOUS[name].standardised(float(value))
        else:
            result[name] = standard_score(name, float(value))
    return result


def standard_score(name: str, value: float) -> float:
    if name == "gcs":
        return (value - 12.5) / 2.5
    if name == "nihss":
        return (value - 10.0) / 6.0
    return (float(np.log(max(value, 0.2))) - 1.6) / 0.9 if name == "onset_to_ct_h" else value


def channel_scores(name: str, patient: Patient) -> dict[Channel, float]:
    """Weighted sum of each channel's features for one outcome, before ``scale`` and ``intercept``."""
    shown = facts(patient)
    return {channel: logit_sum(name, shown, (channel,)) for channel in CHANNELS}


def facts(patient: Patient) -> dict[Channel, Mapping[str, float]]:
    """What each channel shows."""
    return {
        "image": image_features(patient.lesions),
        "text": {key: float(value) for key, value in patient.symptoms.items()},
        "variables": variable_features(patient),
    }


def logit_sum(name: str, shown: Mapping[Channel, Mapping[str, float]], channels: Sequence[Channel] = CHANNELS) -> float:
    """Weighted facts of one outcome that some channels show, before ``scale`` and ``intercept``."""
    return weighted_sum(OUTCOMES[name].weights, shown, channels)


def weighted_sum(
    weights: Mapping[Channel, Mapping[str, float]],
    shown: Mapping[Channel, Mapping[str, float]],
    channels: Sequence[Channel],
) -> float:
    """Sum over some channels of each fact times its weight."""
    return sum(
        weight * shown[channel].get(key, 0.0)
        for channel in channels
        for key, weight in weights.get(channel, {}).items()
    )


def defined(name: str, arm: Arm) -> bool:
    """Whether an outcome exists in an arm."""
    return not OUTCOMES[name].arms or arm in OUTCOMES[name].arms


def ich_score_points(patient: Patient) -> tuple[int, int | None]:
    """Points of the ICH Score without the GCS, and those of the GCS (None where not recorded).

    References: Hemphill 2001: GCS 3-4/5-12/13-15 = 2/1/0; volume >= 30 mL 1; IVH 1; infratentorial 1; age >= 80 1.
    """
    shown = patient.lesions
    points = (shown.iph_ml >= 30.0) + (shown.ivh_ml > 0) + shown.infratentorial + (patient.age_years >= 80)
    gcs = patient.variables["gcs"]
    return int(points), None if gcs is None else (2 if gcs <= 4 else 1 if gcs <= 12 else 0)


def mortality_30d(patient: Patient) -> float:
    """Probability of death within 30 days by the ICH Score table; averaged over the GCS where it is not recorded."""
    points, gcs = ich_score_points(patient)
    if gcs is not None:
        return ICH_SCORE_MORTALITY[points + gcs]
    return sum(weight * ICH_SCORE_MORTALITY[points + k] for k, weight in enumerate(GCS_POINTS_UNKNOWN))


def sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logistic function."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0))))


def probabilities(name: str, patients: Sequence[Patient]) -> NDArray[np.float64]:
    """(patients,) probability of one outcome given all that can be seen."""
    return probabilities_by(name, patients)(OUTCOMES[name].scale, OUTCOMES[name].intercept)


def probabilities_by(name: str, patients: Sequence[Patient]) -> Callable[[float, float], NDArray[np.float64]]:
    """(scale, intercept) -> (patients,) probability of one outcome, for whoever looks for the two."""
    sums = np.array([sum(channel_scores(name, patient).values()) for patient in patients])
    dead = np.array([mortality_30d(p) for p in patients]) if name == "prognosis_bad" else np.zeros(len(sums))

    def combine(scale: float, intercept: float) -> NDArray[np.float64]:
        return np.asarray(dead + (1.0 - dead) * sigmoid(intercept + scale * sums))

    return combine


def _gos(dead: bool, bad: bool, p_bad: float, rng: np.random.Generator) -> int:
    """GOS that agrees with death and with good (4, 5) or bad (1 to 3)."""
    if dead:
        return 1
    if bad:
        return 2 if rng.random() < 0.1 + 0.15 * p_bad else 3
    return 5 if rng.random() < 0.7 - 0.5 * p_bad else 4


HEIDELBERG = ("1a", "1b", "1c", "2", "3c")
"""Classes of the Heidelberg Bleeding Classification that are drawn."""


def heidelberg_shares(p: float) -> NDArray[np.float64]:
    """(5,) share of each class of ``HEIDELBERG`` where there is blood: petechiae at low risk, haematoma at high."""
    severe = 0.3 + 0.4 * p
    weights = np.array([0.5 - 0.3 * p, 0.35, severe * 0.6, severe * 0.5, 0.12])
    return np.asarray(weights / weights.sum())


def _heidelberg(p: float, rng: np.random.Generator) -> str:
    """Class of a bleed on follow-up."""
    return str(rng.choice(HEIDELBERG, p=heidelberg_shares(p)))


def draw_outcomes(patient: Patient) -> Outcomes:
    """Draw what became of a patient."""
    names = [name for name in OUTCOMES if defined(name, patient.arm)]
    return outcomes_from(patient, {name: float(probabilities(name, [patient])[0]) for name in names})


def outcomes_from(patient: Patient, known: Mapping[str, float]) -> Outcomes:
    """Draw what became of a patient; death and bad prognosis share one random number, so that no one dead does well.

    Parameters
    ----------
    known : probability of each outcome that is defined for the patient.
    """
    oracle = dict(known)
    chance = {name: uniform(patient.seed, "outcome", name) for name in oracle}
    labels = {name: int(chance[name] < p) for name, p in oracle.items()}
    gos, heidelberg = None, ""
    if patient.arm is Arm.ICH:
        oracle["mortality_30d"] = mortality_30d(patient)
        labels["mortality_30d"] = int(chance["prognosis_bad"] < oracle["mortality_30d"])
        rng = stream(patient.seed, "outcome", "gos")
        gos = _gos(bool(labels["mortality_30d"]), bool(labels["prognosis_bad"]), oracle["prognosis_bad"], rng)
    if labels.get("haemorrhage_followup"):
        heidelberg = _heidelberg(oracle["haemorrhage_followup"], stream(patient.seed, "outcome", "heidelberg"))
    return Outcomes(labels, oracle, gos, heidelberg)

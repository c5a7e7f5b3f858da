"""Weights of the second edition's outcomes. Scale and intercepts are found by ``benchmarks/outcomes.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dicomnode.cohort.outcomes import Channel
from dicomnode.cohort.patients import Arm


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a channel, and the value that its products count from."""

    channel: Channel
    name: str
    centre: float = 0.0


@dataclass(frozen=True, slots=True)
class Product:
    """Product of two facts of different channels, each less its centre."""

    facts: tuple[Fact, Fact]
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedOutcome:
    """One outcome.

    Attributes
    ----------
    arms : populations it is defined in; empty means all.
    reference : population that ``target_auc`` holds for (site A); ``target_prevalence`` holds in each arm that has it.
    weights : of the facts of each channel; products : of facts of two channels.
    gate : fact of the image without which the outcome cannot be; empty for none.
    scale, intercepts : found by ``benchmarks/outcomes.py``.
    """

    arms: tuple[Arm, ...]
    reference: Arm
    target_auc: float
    target_prevalence: float
    weights: Mapping[Channel, Mapping[str, float]]
    products: tuple[Product, ...]
    gate: str = ""
    scale: float
    intercepts: Mapping[Arm, float]


def _image(name: str, centre: float = 0.0) -> Fact:
    return Fact("image", name, centre)


def _text(name: str, centre: float = 0.0) -> Fact:
    return Fact("text", name, centre)


def _record(name: str, centre: float = 0.0) -> Fact:
    return Fact("variables", name, centre)


LESIONS = (Arm.ICH, Arm.POST_EVT, Arm.STROKE_NO_EVT, Arm.TRAUMA)

OUTCOMES: dict[str, FusedOutcome] = {
    "prognosis_bad": FusedOutcome(
        arms=(Arm.ICH,),
        reference=Arm.ICH,
        target_auc=0.90,
        target_prevalence=145 / 294,
        weights={
            "image": {"log_iph": 0.5, "ivh": 0.5, "infratentorial": 0.4, "deep": 0.3, "leukoaraiosis": 0.3},
            "text": {"cognitive_decline": 0.9, "found_unresponsive": 0.8, "vomiting": 0.3, "worsening": 0.6},
            "variables": {
                "age": 0.4,
                "gcs": -0.5,
                "glucose_mmol_l": 0.3,
                "anticoagulant": 0.4,
                "no:nihss": 1.3,
                "no:gcs": 1.7,
                "no:d_dimer_mg_l_feu": -1.0,
            },
        },
        products=(
            Product((_image("log_iph", -0.3), _record("age")), 0.75),
            Product((_image("log_iph", -0.3), _record("glucose_mmol_l", 0.1)), 0.55),
            Product((_image("deep", 0.5), _text("cognitive_decline", 0.1)), -1.4),
            Product((_image("log_iph", -0.3), _text("found_unresponsive", 0.1)), 0.8),
        ),
        scale=1.292,
        intercepts={Arm.ICH: -1.422},
    ),
    "expansion": FusedOutcome(
        arms=(Arm.ICH,),
        reference=Arm.ICH,
        target_auc=0.82,
        target_prevalence=0.28,
        weights={
            "image": {"heterogeneity": 0.5, "log_iph": 0.3},
            "text": {"worsening": 0.6},
            "variables": {
                "onset_to_ct_h": -0.4,
                "anticoagulant": 0.6,
                "sbp_mmhg": 0.25,
                "no:onset_to_ct_h": -0.9,
                "no:inr": -1.0,
                "no:d_dimer_mg_l_feu": -0.5,
            },
        },
        products=(
            Product((_image("heterogeneity"), _record("onset_to_ct_h", -0.3)), -0.8),
            Product((_image("heterogeneity"), _record("anticoagulant", 0.15)), 1.3),
            Product((_image("log_iph", -0.3), _text("worsening", 0.1)), 0.8),
        ),
        scale=1.079,
        intercepts={Arm.ICH: -0.831},
    ),
    "deterioration": FusedOutcome(
        arms=(Arm.STROKE_NO_EVT,),
        reference=Arm.STROKE_NO_EVT,
        target_auc=0.86,
        target_prevalence=0.38,
        weights={
            "image": {"log_infarct": 0.3, "hyperdense_artery": 0.5, "leukoaraiosis": 0.1},
            "text": {"unsteadiness": 0.8, "walking_difficulty": 0.7, "vision": 0.7, "fluctuating": 0.7},
            "variables": {
                "d_dimer_mg_l_feu": 0.45,
                "dbp_mmhg": 0.3,
                "heart_rate_per_min": 0.3,
                "glucose_mmol_l": 0.2,
                "nihss": 0.3,
                "diabetes": 0.4,
                "no:d_dimer_mg_l_feu": -1.0,
                "no:nihss": 1.1,
            },
        },
        products=(
            Product((_text("unsteadiness", 0.2), _record("d_dimer_mg_l_feu", 0.1)), 1.1),
            Product((_text("fluctuating", 0.1), _record("dbp_mmhg")), -1.1),
            Product((_text("walking_difficulty", 0.25), _record("nihss", -0.2)), 1.1),
            Product((_image("log_infarct", -0.2), _record("glucose_mmol_l")), 0.4),
        ),
        scale=1.106,
        intercepts={Arm.STROKE_NO_EVT: -1.381},
    ),
    "oedema": FusedOutcome(
        arms=(),
        reference=Arm.MIXED,
        target_auc=0.90,
        target_prevalence=0.3,
        weights={
            "image": {"log_swelling": 0.5, "darkness": 0.5, "atrophy": -0.3},
            "text": {"vomiting": 0.5, "headache": 0.3, "worsening": 0.6, "fluctuating": 0.4},
            "variables": {
                "age": -0.25,
                "glucose_mmol_l": 0.3,
                "sodium_mmol_l": -0.35,
                "wbc_10e9_l": 0.3,
                "onset_to_ct_h": 0.4,
                "no:nihss": 1.2,
                "no:hs_crp_mg_l": -1.7,
                "no:d_dimer_mg_l_feu": -2.2,
            },
        },
        products=(
            Product((_image("log_swelling", 0.3), _record("age")), -1.5),
            Product((_image("darkness"), _record("onset_to_ct_h")), 1.4),
            Product((_image("log_swelling", 0.3), _record("glucose_mmol_l")), 1.0),
            Product((_image("darkness"), _text("worsening", 0.05)), 1.4),
        ),
        gate="visible_oedema",
        scale=0.435,
        intercepts={Arm.ICH: -0.247, Arm.POST_EVT: -0.346, Arm.STROKE_NO_EVT: -0.851, Arm.TRAUMA: -0.219},
    ),
    "haemorrhage_followup": FusedOutcome(
        arms=(Arm.POST_EVT,),
        reference=Arm.POST_EVT,
        target_auc=0.91,
        target_prevalence=0.40,
        weights={
            "image": {"metallic": 3.2, "stain_hu": 0.4, "log_infarct": 0.4, "sah": 0.6},
            "text": {"several_passes": 0.6, "incomplete_reperfusion": 0.4, "tirofiban": 0.5, "agitation": 0.3},
            "variables": {
                "glucose_mmol_l": 0.3,
                "sbp_mmhg": 0.2,
                "atrial_fibrillation": 0.3,
                "platelets_10e9_l": -0.2,
                "iv_thrombolysis": 0.2,
                "followup_h": 0.2,
                "no:nihss": 1.5,
                "no:d_dimer_mg_l_feu": -1.2,
            },
        },
        products=(
            Product((_image("log_infarct"), _record("glucose_mmol_l", 0.2)), 1.0),
            Product((_image("log_stain", -0.5), _text("several_passes", 0.2)), 1.1),
            Product((_image("log_infarct"), _record("iv_thrombolysis", 0.45)), 1.5),
        ),
        scale=0.945,
        intercepts={Arm.POST_EVT: -2.446},
    ),
}

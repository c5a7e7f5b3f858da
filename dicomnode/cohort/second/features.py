"""What each channel of a patient of the second edition shows, in numbers of about one standard deviation."""

from __future__ import annotations

from collections.abc import Mapping

from dicomnode.cohort.outcomes import Channel, image_features, scaled_log, variable_features
from dicomnode.cohort.patients import Patient
from dicomnode.cohort.second.lesions import metallic_sign, visible_oedema
from dicomnode.cohort.second.mentions import WEIGHT, states_age

MISSING = "no:"
"""Prefix of the feature that a variable is not recorded."""
Features = Mapping[Channel, Mapping[str, float]]


def image_facts(patient: Patient) -> dict[str, float]:
    """What the baseline CT shows."""
    shown = patient.lesions
    return {
        **image_features(shown),
        "stain_hu": (shown.stain_hu - 90.0) / 20.0 if shown.stain_ml > 0 else 0.0,
        "log_stain": scaled_log(shown.stain_ml, 3.0),
        "metallic": float(metallic_sign(shown)),
        "visible_oedema": float(visible_oedema(shown)),
        "log_rim": scaled_log(shown.oedema_ml, 4.0),
        "darkness": (max(shown.oedema_hu, shown.infarct_depth_hu) - 7.0) / 2.5,
        "contusion": float(shown.site_of_bleed != "" and patient.arm == "trauma"),
    }


def text_facts(patient: Patient) -> dict[str, float]:
    """What the indication says: the weight of each mention, and the age where it is stated."""
    said = {name: WEIGHT[mention] for name, mention in patient.mentions.items()}
    stated = (patient.age_years - 67.0) / 13.0 if states_age(patient.seed) else 0.0
    return {**said, "age_stated": stated, "age_not_stated": float(not states_age(patient.seed))}


def variable_facts(patient: Patient) -> dict[str, float]:
    """What the record shows: standardised values (0 where missing), and for each variable whether it is missing."""
    gaps = {MISSING + name: float(value is None) for name, value in patient.variables.items()}
    hours = {"followup_h": scaled_log(patient.followup_h, 20.0)}
    return {**variable_features(patient), **gaps, **hours}


def facts(patient: Patient) -> Features:
    """The facts of all channels."""
    return {"image": image_facts(patient), "text": text_facts(patient), "variables": variable_facts(patient)}

"""The course from baseline to follow-up: what the second CT shows, consistent with the outcomes drawn.

Definitions: expansion is growth by more than 33 % or more than 6 mL; Heidelberg 1a and 1b are petechiae, 1c a haematoma
below and 2 one above 30 % of the infarct, 3c subarachnoid blood (Heidelberg Bleeding Classification, von Kummer 2015).
Contrast staining washes out within a day or two; blood does not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.motion import Motion
from dicomnode.cohort.outcomes import Outcomes
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.cohort.streams import stream

HOURS: dict[Arm, tuple[float, float]] = {
    Arm.ICH: (18.0, 36.0),
    Arm.POST_EVT: (18.0, 72.0),
    Arm.STROKE_NO_EVT: (48.0, 120.0),
    Arm.TRAUMA: (6.0, 24.0),
    Arm.NORMAL: (24.0, 240.0),
}


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The second CT: hours after the first, what it shows, what the first one shows, and how the head has moved."""

    hours: float
    lesions: Lesions
    first: Lesions
    motion: Motion | None = None


def _grown(volume_ml: float, expands: bool, rng: np.random.Generator) -> float:
    """Volume on follow-up: more than a third larger, or within 8 % and 5 mL of what it was."""
    if expands:
        return volume_ml * float(rng.uniform(1.38, 1.9))
    return min(volume_ml * float(rng.uniform(0.9, 1.08)), volume_ml + 5.0)


def after_bleed(shown: Lesions, outcomes: Outcomes, rng: np.random.Generator) -> Lesions:
    """What becomes of a bleed and its rim."""
    expands = bool(outcomes.labels.get("expansion", 0))
    swells = float(rng.uniform(1.6, 2.3) if outcomes.labels["oedema"] else rng.uniform(1.0, 1.4))
    volume = _grown(shown.iph_ml, expands, rng)
    new_ivh = float(rng.uniform(1.0, 5.0)) if expands and not shown.ivh_ml and rng.random() < 0.25 else 0.0
    return dataclasses.replace(
        shown,
        iph_ml=volume,
        ivh_ml=shown.ivh_ml * float(rng.uniform(0.8, 1.1)) + new_ivh,
        sah_ml=shown.sah_ml * float(rng.uniform(0.5, 0.95)),
        sdh_ml=shown.sdh_ml * float(rng.uniform(0.9, 1.3)),
        edh_ml=shown.edh_ml * float(rng.uniform(0.95, 1.4)),
        oedema_ml=min(shown.oedema_ml * swells, 90.0),
        clot_hu=shown.clot_hu - float(rng.uniform(0.0, 4.0)),
    )


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def blood_ml(heidelberg: str, infarct_ml: float, size: float) -> dict[str, float | bool]:
    """Final blood of one Heidelberg class: petechiae, haematoma below and above 30 % of the infarct, or in sulci."""
    if heidelberg == "1a":
        return {"iph_ml": _between(0.4, 1.2, size), "petechial": True}
    if heidelberg == "1b":
        return {"iph_ml": _between(1.3, 4.0, size), "petechial": True}
    if heidelberg == "1c":
        return {"iph_ml": max(_between(0.1, 0.28, size) * infarct_ml, 0.4)}
    if heidelberg == "2":
        return {"iph_ml": max(_between(0.32, 0.6, size) * infarct_ml, 1.5), "oedema_ml": 0.1 * infarct_ml}
    return {"sah_ml": _between(1.5, 8.0, size)} if heidelberg else {}


def _after_evt(shown: Lesions, outcomes: Outcomes, rng: np.random.Generator) -> Lesions:
    infarct = min(shown.infarct_ml * float(rng.uniform(1.0, 1.5 if outcomes.labels["oedema"] else 1.2)), 220.0)
    blood = blood_ml(outcomes.heidelberg, infarct, float(rng.random()) if outcomes.heidelberg else 0.0)
    changed = {"infarct_ml": infarct, "infarct_depth_hu": shown.infarct_depth_hu + float(rng.uniform(5.0, 10.0))}
    cleared = dataclasses.replace(shown, stain_ml=0.0, stain_hu=0.0, sah_ml=0.0, clot_hu=60.0)
    return dataclasses.replace(cleared, **changed, **blood)  # type: ignore[arg-type]


def _after_stroke(shown: Lesions, outcomes: Outcomes, rng: np.random.Generator) -> Lesions:
    growth = float(rng.uniform(1.4, 2.2) if outcomes.labels["deterioration"] else rng.uniform(1.0, 1.2))
    return dataclasses.replace(
        shown,
        infarct_ml=min(shown.infarct_ml * growth, 240.0),
        infarct_depth_hu=shown.infarct_depth_hu + float(rng.uniform(6.0, 11.0)),
        hyperdense_artery=bool(shown.hyperdense_artery and rng.random() < 0.5),
    )


def follow_up(patient: Patient, outcomes: Outcomes) -> FollowUp:
    """What the follow-up CT of a patient shows."""
    rng = stream(patient.seed, "course")
    hours = float(rng.uniform(*HOURS[patient.arm]))
    shown = patient.lesions
    if patient.arm is Arm.POST_EVT:
        shown = _after_evt(shown, outcomes, rng)
    elif patient.arm is Arm.STROKE_NO_EVT:
        shown = _after_stroke(shown, outcomes, rng)
    elif patient.arm is not Arm.NORMAL:
        shown = after_bleed(shown, outcomes, rng)
    return FollowUp(round(hours, 1), shown, patient.lesions)

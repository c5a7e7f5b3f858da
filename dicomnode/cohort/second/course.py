"""The course of the second edition: what the second CT shows some hours later, and what is to be expected of it.

After thrombectomy contrast staining loses half of its density every six to fourteen hours, dead brain darkens within a
day and swells for two to four, and blood comes: some of it lay below the staining from the start, where no scan could
tell it from contrast medium, some grows within hours, petechiae come with reperfusion. Classes are those of the
Heidelberg Bleeding Classification (von Kummer 2015). Times and sizes are this cohort's own.

The two scans are of the same head, which has moved in between (:class:`Motion`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dicomnode.cohort.course import FollowUp, after_bleed, blood_ml
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.outcomes import HEIDELBERG, Outcomes, heidelberg_shares
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.cohort.second.lesions import darkness, rim_share, swelling_at
from dicomnode.cohort.second.motion import draw_motion
from dicomnode.cohort.streams import stream

BRAIN_HU = 34.0
HIDDEN_SHARE = 0.45
"""Share of bleeds that lay below the staining at the first scan, where there was staining."""
UNSEEN_HU = 4.0
"""Staining that is so little denser than brain is gone."""
GROWTH_H = 6.0
"""A bleed that comes after the first scan reaches two thirds of its size within so many hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evt:
    """What decides the course after thrombectomy, and no scan shows beforehand.

    Attributes
    ----------
    heidelberg : class of the bleed, empty for none.
    size : 0 to 1, place of the bleed's volume within what its class allows.
    halving_h : hours in which staining loses half of its density.
    growth : of the infarct, as a factor of its volume.
    depth_hu : final darkness of dead brain.
    """

    heidelberg: str
    size: float
    halving_h: float
    growth: float
    depth_hu: float


def stain_at(shown: Lesions, hours: float, halving_h: float) -> tuple[float, float]:
    """Volume in mL and attenuation in HU of staining some hours after the first scan; zeros where it is gone."""
    excess = (shown.stain_hu - BRAIN_HU) * 0.5 ** (hours / halving_h)
    if not shown.stain_ml or excess < UNSEEN_HU:
        return 0.0, 0.0
    return shown.stain_ml * 0.5 ** (hours / (6.0 * halving_h)), BRAIN_HU + excess


def after_evt(shown: Lesions, onset_h: float, hours: float, evt: Evt) -> Lesions:
    """What the scan shows some hours after the first one."""
    infarct = min(shown.infarct_ml * (1.0 + (evt.growth - 1.0) * rim_share(hours)), 220.0)
    blood = blood_ml(evt.heidelberg, infarct, evt.size)
    grown = 1.0 - (0.35 if shown.hidden_ml else 1.0) * np.exp(-hours / GROWTH_H)
    now = {key: value if isinstance(value, bool) else float(value * grown) for key, value in blood.items()}
    stain, hu = stain_at(shown, hours, evt.halving_h)
    old_sah = shown.sah_ml * 0.5 ** (hours / 24.0)
    return dataclasses.replace(
        shown,
        **{
            "infarct_ml": infarct,
            "infarct_depth_hu": max(evt.depth_hu * darkness(onset_h + hours), shown.infarct_depth_hu),
            "swelling": swelling_at(onset_h + hours),
            "stain_ml": stain,
            "stain_hu": hu,
            "hidden_ml": 0.0,
            "below_stain_ml": shown.stain_ml if shown.hidden_ml else 0.0,
            "oedema_hu": 8.0 if "oedema_ml" in now else 0.0,
            "clot_hu": 60.0,
            "site_of_bleed": "infarct" if now.get("iph_ml") else "",
            **now,
            "sah_ml": float(now.get("sah_ml", 0.0)) + old_sah,
        },
    )


def draw_evt(patient: Patient, outcomes: Outcomes) -> Evt:
    """The course of one patient after thrombectomy."""
    rng = stream(patient.seed, "second", "course")
    return Evt(
        heidelberg=outcomes.heidelberg,
        size=float(rng.random()),
        halving_h=float(rng.uniform(6.0, 14.0)),
        growth=float(rng.uniform(1.0, 1.5 if outcomes.labels["oedema"] else 1.2)),
        depth_hu=float(rng.uniform(12.0, 19.0)),
    )


def hidden_of(shown: Lesions, evt: Evt) -> float:
    """Blood below the staining where it hides: its part of the final bleed, no more than the staining holds."""
    blood = float(blood_ml(evt.heidelberg, shown.infarct_ml, evt.size).get("iph_ml", 0.0))
    return min(0.65 * blood, 0.9 * shown.stain_ml)


def hidden_ml(patient: Patient, evt: Evt) -> float:
    """Blood below the staining of one patient at the first scan, in mL."""
    hides = stream(patient.seed, "second", "hidden").random() < HIDDEN_SHARE
    return hidden_of(patient.lesions, evt) if hides else 0.0


def onset_h(patient: Patient) -> float:
    """Hours from onset to the first scan, as the head knows them (the record may not)."""
    return float(patient.causes["onset_h"])


def follow_up(patient: Patient, outcomes: Outcomes) -> FollowUp:
    """What the two scans of a patient show: the first as drawn, with what lies hidden in it."""
    first, evt = patient.lesions, None
    if patient.arm is Arm.POST_EVT:
        evt = draw_evt(patient, outcomes)
        first = dataclasses.replace(first, hidden_ml=hidden_ml(patient, evt))
    later = _later(patient, outcomes, first, evt)
    return FollowUp(patient.followup_h, later, first, draw_motion(patient.seed))


def _later(patient: Patient, outcomes: Outcomes, first: Lesions, evt: Evt | None) -> Lesions:
    """What the second scan shows."""
    if evt is not None:
        return after_evt(first, onset_h(patient), patient.followup_h, evt)
    if patient.arm is Arm.STROKE_NO_EVT:
        return _after_stroke(patient, outcomes)
    return first if patient.arm is Arm.NORMAL else _after_bleed(patient, outcomes)


def _after_stroke(patient: Patient, outcomes: Outcomes) -> Lesions:
    rng, shown = stream(patient.seed, "second", "course"), patient.lesions
    growth = float(rng.uniform(1.4, 2.2) if outcomes.labels["deterioration"] else rng.uniform(1.0, 1.2))
    final = float(rng.uniform(12.0, 19.0)) * darkness(onset_h(patient) + patient.followup_h)
    return dataclasses.replace(
        shown,
        infarct_ml=min(shown.infarct_ml * growth, 240.0),
        infarct_depth_hu=max(final, shown.infarct_depth_hu),
        swelling=swelling_at(onset_h(patient) + patient.followup_h),
        hyperdense_artery=bool(shown.hyperdense_artery and rng.random() < 0.5),
    )


def _after_bleed(patient: Patient, outcomes: Outcomes) -> Lesions:
    """Growth is nearly over within hours; the rim widens for days."""
    shown = after_bleed(patient.lesions, outcomes, stream(patient.seed, "second", "course"))
    reached = float(1.0 - np.exp(-patient.followup_h / GROWTH_H))
    first = patient.lesions
    return dataclasses.replace(
        shown,
        iph_ml=first.iph_ml + (shown.iph_ml - first.iph_ml) * max(reached, 0.9),
        oedema_hu=first.oedema_hu or (6.0 if shown.oedema_ml else 0.0),
    )


def evt_courses(p_bleed: float, shown: Lesions, sizes: int = 2) -> Iterator[tuple[float, Evt, bool]]:
    """What may happen after thrombectomy, with its probability and whether it lay below the staining from the start.

    Parameters
    ----------
    p_bleed : probability of blood on the second scan.
    shown : by the first scan.
    sizes : of each class of bleed, at evenly spaced quantiles.
    """
    usual = {"halving_h": 10.0, "growth": 1.15, "depth_hu": 15.5}
    hides = HIDDEN_SHARE if shown.stain_ml else 0.0
    yield 1.0 - p_bleed, Evt(heidelberg="", size=0.5, **usual), False
    for name, share in zip(HEIDELBERG, heidelberg_shares(p_bleed), strict=True):
        for k in range(sizes):
            evt = Evt(heidelberg=name, size=(k + 0.5) / sizes, **usual)
            weight = p_bleed * float(share) / sizes
            yield weight * (1.0 - hides), evt, False
            if hides:
                yield weight * hides, evt, True

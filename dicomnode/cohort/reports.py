"""Radiology reports in words: what the referrer wrote and what the reader saw.

The indication carries what is in no variable and no pixel (unsteadiness, trouble walking, vision, ...): words that an
early-deterioration model found useful stand in that line of a report, not in its findings. The findings name type,
side, place and rough size of lesions; signs a reader seldom words (heterogeneity of a clot, attenuation of staining, a
dense artery) stay in the image. A report is made from the :class:`~dicomnode.cohort.patients.Patient` alone, which
knows no outcome: nothing of the course can leak into it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.cohort.streams import stream

PRESENT: dict[str, tuple[str, ...]] = {
    "cognitive_decline": ("known dementia", "memory problems for years", "cognitive decline before the event"),
    "found_unresponsive": ("found unresponsive at home", "found lying on the floor, not responding"),
    "vomiting": ("vomited", "repeated vomiting", "nausea and vomiting"),
    "headache": ("headache", "severe headache", "complains of headache"),
    "seizure": ("seizure at onset", "witnessed seizure"),
    "worsening": ("getting worse since arrival", "progressive drowsiness since onset"),
    "several_passes": ("four passes of the stent retriever", "difficult recanalisation after several passes"),
    "incomplete_reperfusion": ("final result mTICI 2b", "incomplete reperfusion of distal branches"),
    "tirofiban": ("tirofiban given during the procedure", "intra-arterial tirofiban"),
    "agitation": ("agitated after the procedure", "restless on the ward"),
    "unsteadiness": ("unsteadiness", "unsteadiness on standing", "feels unsteady, unsteadiness since morning"),
    "walking_difficulty": ("difficulty walking", "trouble walking", "walking only with help"),
    "vision": ("blurred vision", "loss of vision to one side", "double vision"),
    "fluctuating": ("fluctuating deficits", "symptoms come and go"),
    "dizziness": ("dizziness", "light-headed"),
    "loss_of_consciousness": ("loss of consciousness at the scene", "brief loss of consciousness"),
    "high_energy": ("road traffic accident", "fall from a height of 3 m"),
}
"""Wordings of a symptom; all wordings of one share its meaning."""

ABSENT: dict[str, tuple[str, ...]] = {
    "vomiting": ("no vomiting", "did not vomit"),
    "headache": ("no headache", "denies headache"),
    "seizure": ("no seizure",),
    "unsteadiness": ("no unsteadiness",),
    "vision": ("vision normal", "no visual complaints"),
    "loss_of_consciousness": ("no loss of consciousness",),
    "cognitive_decline": ("independent before",),
    "several_passes": ("first-pass recanalisation",),
    "incomplete_reperfusion": ("mTICI 3",),
}

REASON: dict[Arm, tuple[str, ...]] = {
    Arm.ICH: ("Sudden hemiparesis.", "Acute focal deficit, bleed?", "Suspected stroke, unknown type."),
    Arm.POST_EVT: ("Control after thrombectomy.", "After mechanical thrombectomy of the MCA, bleed?"),
    Arm.STROKE_NO_EVT: ("Acute ischaemic stroke, MCA occlusion, no thrombectomy.", "Stroke, not eligible for EVT."),
    Arm.TRAUMA: ("Head injury.", "Trauma, intracranial bleed?"),
    Arm.NORMAL: ("Exclude intracranial bleed.", "General work-up.", "Acute pathology?"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """Text of one report."""

    indication: str
    findings: str

    @property
    def text(self) -> str:
        """The report as a RIS exports it: both parts under their headings."""
        return f"INDICATION: {self.indication}\nFINDINGS: {self.findings}"


def _choice(rng: np.random.Generator, wordings: tuple[str, ...]) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def _indication(patient: Patient) -> str:
    rng = stream(patient.seed, "report", "indication")
    parts = []
    for name, present in patient.symptoms.items():
        wording = stream(patient.seed, "report", name)
        if present:
            parts.append(_choice(wording, PRESENT[name]))
        elif name in ABSENT and wording.random() < 0.3:
            parts.append(_choice(wording, ABSENT[name]))
    order = rng.permutation(len(parts))
    sentence = ", ".join(parts[k] for k in order)
    who = f"{patient.age_years}-year-old {'woman' if patient.sex == 'F' else 'man'}. " if rng.random() < 0.6 else ""
    closing = f" {sentence[0].upper()}{sentence[1:]}." if sentence else ""
    return f"{who}{_choice(rng, REASON[patient.arm])}{closing}"


def _size(volume_ml: float, rng: np.random.Generator) -> str:
    """Rough size: a word or a rounded volume."""
    if rng.random() < 0.4 and volume_ml >= 2.0:
        step = 1 if volume_ml < 10 else 5
        return f"{step * round(volume_ml / step)} mL"
    return "Small" if volume_ml < 5 else "Moderate" if volume_ml < 30 else "Large"


def _side(shown: Lesions) -> str:
    return "left" if shown.side > 0 else "right"


def _blood(shown: Lesions, rng: np.random.Generator) -> list[str]:
    lines = []
    if shown.iph_ml:
        place = shown.site_of_bleed if shown.site_of_bleed == "brainstem" else f"{_side(shown)} {shown.site_of_bleed}"
        name = _choice(rng, ("intraparenchymal haemorrhage", "haematoma", "hyperdense bleed"))
        lines.append(f"{_size(shown.iph_ml, rng)} {name}, {place}.")
    if shown.ivh_ml:
        lines.append(_choice(rng, ("Blood in the ventricles.", "Intraventricular extension.")))
    if shown.sah_ml:
        lines.append(_choice(rng, ("Subarachnoid blood in sulci.", "Traces of subarachnoid haemorrhage.")))
    if shown.sdh_ml:
        lines.append(f"{_size(shown.sdh_ml, rng)} acute subdural haematoma, {_side(shown)}.")
    if shown.edh_ml:
        lines.append(f"{_size(shown.edh_ml, rng)} epidural haematoma, {_side(shown)}.")
    return lines or [_choice(rng, ("No intracranial haemorrhage.", "No haemorrhage is seen."))]


def _other(shown: Lesions, rng: np.random.Generator) -> list[str]:
    lines = []
    if shown.stain_ml:
        lines.append(
            _choice(rng, ("Hyperdensity, staining or blood.", "Contrast staining likely, bleed not excluded."))
        )
    if shown.infarct_ml > 8.0:
        word = _choice(rng, ("Hypodensity", "Early infarct signs", "Loss of grey-white differentiation"))
        lines.append(f"{word} in the {_side(shown)} MCA territory.")
    if shown.atrophy > 0.6:
        lines.append(_choice(rng, ("Atrophy in keeping with age.", "Widened CSF spaces.")))
    return lines


def write_report(patient: Patient) -> Report:
    """The report of a patient's baseline CT; the same patient gives the same words."""
    rng = stream(patient.seed, "report", "findings")
    lines = _blood(patient.lesions, rng) + _other(patient.lesions, rng)
    if rng.random() < 0.4:
        lines.append(_choice(rng, ("No fracture.", "Paranasal sinuses clear.", "No previous study for comparison.")))
    return Report(_indication(patient), " ".join(lines))

"""What is to be expected on the CT after thrombectomy some hours later: the target that a follow-up model learns."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.edition import SECOND
from dicomnode.cohort.patients import Arm, Patient
from dicomnode.cohort.scene import BLOOD, make_anatomy, make_scene
from dicomnode.cohort.second.course import after_evt, evt_courses, hidden_of, onset_h
from dicomnode.cohort.second.outcomes import probabilities


@dataclass(frozen=True)
class Expected:
    """Average over what may happen, each weighted by its probability, in the frame of the first scan.

    Attributes
    ----------
    hu : (z, y, x) float32, mean attenuation; x to the left, y to the back, z to the crown.
    p_blood : (z, y, x) float32, probability that a voxel holds blood.
    spacing_mm : of the cubic grid; origin_mm : (z, y, x) of the centre of voxel (0, 0, 0).
    """

    hu: NDArray[np.float32]
    p_blood: NDArray[np.float32]
    spacing_mm: float
    origin_mm: tuple[float, float, float]


def expected_follow_up(patient: Patient, hours: float, *, spacing_mm: float = 1.8, sizes: int = 2) -> Expected:
    """Mean HU and probability of blood of each voxel, some hours after the first CT after thrombectomy.

    Only what the first scan, the request and the record show is known: the class of a bleed, its size and whether it
    lay below the staining are averaged over with the probabilities that they are drawn with; halving time of the
    staining, growth and darkness of the infarct stand at their middle. There is no noise and no motion in it.

    Parameters
    ----------
    hours : from the first scan to the second.
    spacing_mm : of the grid; sizes : of each class of bleed.

    Raises
    ------
    ValueError : the patient had no thrombectomy, or is not of the second version.
    """
    if patient.arm is not Arm.POST_EVT or not patient.mentions:
        raise ValueError("what is to be expected is known after thrombectomy alone, in version 2 of the cohort")
    p_bleed = float(probabilities("haemorrhage_followup", [dataclasses.replace(patient, followup_h=hours)])[0])
    base = make_anatomy(patient.seed, patient.lesions, spacing_mm=spacing_mm, edition=SECOND)
    hu: NDArray[np.float32] = np.zeros(base.canvas.shape, np.float32)
    p_blood: NDArray[np.float32] = np.zeros(base.canvas.shape, np.float32)
    origin = (0.0, 0.0, 0.0)
    for weight, evt, hides in evt_courses(p_bleed, patient.lesions, sizes):
        first = dataclasses.replace(patient.lesions, hidden_ml=hidden_of(patient.lesions, evt) if hides else 0.0)
        scene = make_scene(base, after_evt(first, onset_h(patient), hours, evt), SECOND)
        hu += np.float32(weight) * scene.head.hu
        p_blood += np.float32(weight) * np.isin(scene.findings, BLOOD)
        origin = scene.head.origin_mm
    return Expected(hu, p_blood, spacing_mm, origin)

"""Patients of whom a referrer says something: symptoms present, uncertain, denied or not mentioned."""

from __future__ import annotations

from dataclasses import replace

from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.second.mentions import Mention
from dicomnode.cohort.streams import uniform
from tests.unit.cohort.draws import draw_patients


def _mention(is_present: bool, chance: float) -> Mention:
    if is_present:
        return Mention.PRESENT
    return Mention.UNCERTAIN if chance < 0.15 else Mention.DENIED if chance < 0.6 else Mention.ABSENT


def draw_mentioning(seed: int, count: int, arm: Arm = Arm.MIXED, site: Site = Site.A) -> list[Patient]:
    """Draw many; of those who lack a symptom, 15 % are unsure of it, 45 % deny it and 40 % say nothing."""
    return [
        replace(
            patient,
            mentions={
                name: _mention(present, uniform(patient.seed, "tested mention", name))
                for name, present in patient.symptoms.items()
            },
        )
        for patient in draw_patients(seed, count, arm, site)
    ]

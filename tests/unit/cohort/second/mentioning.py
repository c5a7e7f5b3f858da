"""Many patients of the second edition, of whom a referrer says something."""

from __future__ import annotations

from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.second.people import draw_patient
from dicomnode.cohort.streams import derived_seed


def draw_mentioning(seed: int, count: int, arm: Arm = Arm.MIXED, site: Site = Site.A) -> list[Patient]:
    """Draw many; patient k (from 1) is the same whatever the count."""
    return [draw_patient(derived_seed(seed, "patient", index), arm, site) for index in range(1, count + 1)]

"""Many synthetic patients, and groups of the regions that a brain is parted into."""

from __future__ import annotations

from dicomnode.cohort.patients import Arm, Patient, Site, draw_patient
from dicomnode.cohort.streams import derived_seed
from dicomnode.measure.anatomy.atlas import Label

LOBAR = frozenset(range(Label.FRONTAL_LEFT, Label.OCCIPITAL_RIGHT + 1))
DEEP = frozenset(range(Label.BASAL_GANGLIA_LEFT, Label.THALAMUS_RIGHT + 1))


def draw_patients(seed: int, count: int, arm: Arm = Arm.MIXED, site: Site = Site.A) -> list[Patient]:
    """Draw many; patient k (from 1) is the same whatever the count."""
    return [draw_patient(derived_seed(seed, "patient", index), arm, site) for index in range(1, count + 1)]

"""Which words the requests of a population use."""

from __future__ import annotations

import re

from dicomnode.cohort.ceilings import SEED
from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.versions import RECIPES

WORD = re.compile(r"[a-z]+(?:['/-][a-z]+)*")


def words_of(version: Version, arm: Arm, site: Site, patients: int) -> set[str]:
    """Different words (lower case) in the indications of patients of one arm at one site, typing errors among them."""
    recipe = RECIPES[version]
    found: set[str] = set()
    for index in range(1, patients + 1):
        patient = recipe.draw_patient(derived_seed(SEED, "patient", index), arm, site)
        found.update(WORD.findall(recipe.write_report(patient).indication.lower()))
    return found

"""Patients without an image, of whom record, outcome and what is drawn for their heads are known.

They teach what the variables say, and what they say together with what is read of a head: what would have been read
of theirs is drawn with the errors of the reader (:class:`~dicomnode.train.head_reader.telling.Errors`).
"""

from __future__ import annotations

from collections.abc import Iterator

from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.streams import derived_seed
from dicomnode.cohort.versions import RECIPES
from dicomnode.train.edema.heads import ARMS, OEDEMA, OUTCOME, SEED
from dicomnode.train.head_reader.painted import facts_of
from dicomnode.train.head_reader.telling import Errors
from dicomnode.train.importers.cohort import ARM, COHORT
from dicomnode.train.manifest import Case, Split

FIRST = 5_000_000
"""Number of the first of them: no painted patient has such a one."""


def records(count: int, errors: Errors | None = None) -> Iterator[Case]:
    """So many patients of site A to learn from, the arms in equal shares.

    Parameters
    ----------
    errors : of the reader of heads; None: nothing was read of theirs.
    """
    recipe = RECIPES[Version.TWO]
    for number in range(count):
        arm = ARMS[number % len(ARMS)]
        patient = recipe.draw_patient(derived_seed(SEED, "record", FIRST + number), arm, Site.A)
        known = {name: float(value) for name, value in patient.variables.items() if value is not None}
        read = errors.drawn(facts_of(patient.lesions), arm.value, patient.seed) if errors else {}
        yield Case(
            id=f"record-{number}",
            patient=f"record-{number}",
            variables={**known, "age": float(patient.age_years), "male": float(patient.sex == "M"), **read},
            labels={OUTCOME: float(recipe.draw_outcomes(patient).labels[OEDEMA])},
            split=Split.TRAIN,
            site=Site.A.value,
            groups={ARM: Arm(arm).value, COHORT: Version.TWO.value},
            synthetic=True,
        )

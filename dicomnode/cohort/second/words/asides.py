"""Remarks that carry no outcome: past, family, drugs, devices, other people, wards and telephones.

None names a symptom that any outcome knows, not even to deny it, and none repeats what the record holds (blood
pressure, heart rhythm, diabetes, smoking, earlier strokes, drugs against clotting, temperature, kidney, scores, hours):
a text model could read the record there, or be told the contrary of it.
"""

from __future__ import annotations

import numpy as np

from dicomnode.cohort.patients import Patient
from dicomnode.cohort.second.words.filling import fill
from dicomnode.cohort.second.words.lexicon import Lexicon, choice, lexicon_of
from dicomnode.cohort.second.words.referrers import Referrer
from dicomnode.cohort.second.words.statements import Clause
from dicomnode.cohort.streams import stream

KINDS = {
    "unasked": 1.2,
    "past": 1.3,
    "medicines": 0.8,
    "allergies": 0.7,
    "family": 0.6,
    "others": 0.6,
    "logistics": 1.6,
    "devices": 0.6,
    "social": 0.7,
    "occupation": 0.4,
    "arm": 1.2,
    "closing": 0.8,
}
"""Kinds of remarks and their weights."""
RETIRED_FROM_YEARS = 68
WORKS_BELOW_YEARS = 62
MOST = 7


def _occupation(patient: Patient) -> str:
    """Key of the sentences that fit the age; between the two ages, and for the young, nobody asks."""
    if patient.age_years >= RETIRED_FROM_YEARS:
        return "retired"
    return "working" if 20 <= patient.age_years < WORKS_BELOW_YEARS else "social"


def _wording(kind: str, patient: Patient, words: Lexicon, rng: np.random.Generator) -> str:
    if kind == "unasked":
        things = ", ".join(str(item) for item in rng.permutation(words.unasked)[: int(rng.integers(1, 4))])
        return choice(rng, words.unasked_frames).replace("{}", things)
    key = {"arm": patient.arm.value, "occupation": _occupation(patient)}.get(kind, kind)
    return fill(choice(rng, words.asides[key]), patient, words, rng)


def asides(patient: Patient, referrer: Referrer) -> tuple[list[Clause], list[Clause]]:
    """Remarks for the middle and for the end of a request; thanks come last."""
    rng = stream(patient.seed, "words", "asides")
    count = min(int(rng.poisson(referrer.asides)) + 1, MOST)
    weights = np.array(list(KINDS.values()))
    kinds = [str(kind) for kind in rng.choice(list(KINDS), size=count, replace=False, p=weights / weights.sum())]
    kinds.sort(key=lambda kind: kind == "closing")
    clauses = [Clause(_wording(kind, patient, lexicon_of(patient.site, rng), rng)) for kind in kinds]
    early = 0 if "closing" in kinds and count == 1 else int(rng.integers(0, count + ("closing" not in kinds)))
    return clauses[:early], clauses[early:]

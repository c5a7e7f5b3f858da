"""Who fills in the form: habits of a referrer, the same in all that he or she sends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from dicomnode.cohort.patients import Patient, Site
from dicomnode.cohort.streams import stream, uniform

REFERRERS = 40
"""People who send requests at one site."""


class Case(StrEnum):
    """Letters a referrer types."""

    SENTENCE = "sentence"
    LOWER = "lower"
    UPPER = "upper"


CASES: dict[Site, tuple[float, float, float]] = {
    Site.A: (0.62, 0.28, 0.1),
    Site.B: (0.5, 0.18, 0.32),
    Site.C: (0.6, 0.25, 0.15),
}
"""Shares of the habits, in the order of :class:`Case`."""
SEPARATORS: dict[Site, tuple[str, ...]] = {
    Site.A: (". ", ". ", ". ", "; ", " - "),
    Site.B: (". ", ". ", "; ", " // ", ". "),
    Site.C: (". ", "; ", " - ", " // ", ". "),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """Habits of one person.

    Attributes
    ----------
    separator : what stands between sentences; a scope of a negation never crosses it.
    telegraph : leaves out articles and auxiliary verbs.
    runs_on : share of symptoms joined to the sentence before by a comma.
    lists : share of requests that gather symptoms of one kind in a list.
    asides : mean number of remarks that carry no outcome.
    errors : share of long words typed wrongly; half as many blanks are missed.
    tight : types no blank behind a comma.
    """

    case: Case
    separator: str
    telegraph: bool
    runs_on: float
    lists: float
    asides: float
    errors: float
    tight: bool


def referrer_of(patient: Patient) -> Referrer:
    """The person who asks for this scan."""
    return referrer(patient.site, int(uniform(patient.seed, "words", "referrer") * REFERRERS))


@cache
def referrer(site: Site, number: int) -> Referrer:
    """The habits of one person, the same in every cohort."""
    rng = stream(0, "words", "referrer", site.value, number)
    separators = SEPARATORS[site]
    return Referrer(
        case=list(Case)[int(rng.choice(len(Case), p=CASES[site]))],
        separator=separators[int(rng.integers(len(separators)))],
        telegraph=bool(rng.random() < 0.4),
        runs_on=float(rng.uniform(0.2, 0.8)),
        lists=float(rng.uniform(0.25, 0.8)),
        asides=float(rng.uniform(1.0, 4.0)),
        errors=float(rng.choice([0.0, 0.005, 0.02, 0.05, 0.1], p=[0.2, 0.25, 0.3, 0.15, 0.1])),
        tight=bool(rng.random() < 0.12),
    )

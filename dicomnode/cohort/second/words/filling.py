"""Fills the places of a wording: pronouns by sex, relatives by age, words drawn from the lists of the hospital."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dicomnode.cohort.patients import Patient
from dicomnode.cohort.second.words.lexicon import Lexicon, choice, lexicon_of
from dicomnode.cohort.streams import stream

PRONOUNS = {"F": {"he": "she", "his": "her", "him": "her"}, "M": {"he": "he", "his": "his", "him": "him"}}
YOUNG_BELOW_YEARS = 40
OLD_FROM_YEARS = 60
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """A number from 0 to 99 in words.

    Raises
    ------
    IndexError : the number is 100 or more.
    """
    if number < len(_UNITS):
        return _UNITS[number]
    tens = _TENS[number // 10 - 2]
    return f"{tens}-{_UNITS[number % 10]}" if number % 10 else tens


def relative_of(patient: Patient) -> str:
    """Who came with the patient: one person in the whole text."""
    rng = stream(patient.seed, "words", "relative")
    people = lexicon_of(patient.site, rng).relatives
    near = people["any"]
    if patient.age_years < YOUNG_BELOW_YEARS:
        near += people["young"]
    if patient.age_years >= OLD_FROM_YEARS:
        near += people["old"]
    return choice(rng, near)


class Places(dict[str, str]):
    """What stands for a name in braces; a word from a list is drawn anew for each place and never twice."""

    def __init__(self, patient: Patient, words: Lexicon, rng: np.random.Generator) -> None:
        super().__init__(
            PRONOUNS[patient.sex],
            age=str(patient.age_years),
            words=in_words(patient.age_years),
            S=patient.sex,
            person=choice(rng, words.persons[patient.sex]),
        )
        self._lists: dict[str, Iterator[str]] = {}
        self._patient, self._words, self._rng = patient, words, rng

    def __missing__(self, name: str) -> str:
        if name == "relative":
            return relative_of(self._patient)
        if name not in self._lists:
            self._lists[name] = iter(self._rng.permutation(self._words.slots[name]).tolist())
        return next(self._lists[name])


def fill(wording: str, patient: Patient, words: Lexicon, rng: np.random.Generator) -> str:
    """A wording with all places filled."""
    return wording.format_map(Places(patient, words, rng)) if "{" in wording else wording

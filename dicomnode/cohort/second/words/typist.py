"""How a text is typed: letters, telegraph style, typing errors.

An error never touches a word that negates or hedges, nor a short word, and always leaves a word that can be read in one
way only: a typed word that is a word itself, or is one slip away from a second one, is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from dicomnode.cohort.second.words.referrers import Case, Referrer
from dicomnode.cohort.second.words.vocabulary import guarded, is_word, readings

SHORTEST = 5
"""Letters of the shortest word that is typed wrongly."""
_DROPPED = re.compile(r"\b(?:the|an?|is|was|has|had|been|were|are) (?=[a-z])")
_SENTENCE = re.compile(r"(^|\. |: )([a-z])")
_WORD = re.compile(r"[A-Za-z]+")
_PAIR = re.compile(r"(?<![\w'/&?+-])([A-Za-z]{4,}) ([A-Za-z]{4,})(?![\w'/&?+-])")


def _slip(word: str, rng: np.random.Generator) -> str:
    """One letter swapped with the next, left out or typed twice; the first stays."""
    at = int(rng.integers(1, len(word) - 1))
    kind = int(rng.integers(3))
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :] if kind == 1 else word[: at + 1] + word[at:]


def mistyped(word: str, rng: np.random.Generator) -> str:
    """A word with one slip, or itself where the slip could be read as another word."""
    if len(word) < SHORTEST or not word[1:].islower() or word.lower() in guarded():
        return word
    wrong = _slip(word, rng)
    return wrong if readings(wrong.lower()) == {word.lower()} else word


def _errors(text: str, rate: float, rng: np.random.Generator) -> Iterator[str]:
    end = 0
    for found in _WORD.finditer(text):
        yield text[end : found.start()]
        yield mistyped(found.group(), rng) if rng.random() < rate else found.group()
        end = found.end()
    yield text[end:]


def _missed_blanks(text: str, rate: float, rng: np.random.Generator) -> str:
    def join(pair: re.Match[str]) -> str:
        first, second = pair.groups()
        kept = {first.lower(), second.lower()} & guarded() or is_word(f"{first}{second}".lower())
        return pair.group() if kept or rng.random() >= rate else f"{first}{second}"

    return _PAIR.sub(join, text)


def _cased(text: str, case: Case) -> str:
    if case is Case.SENTENCE:
        return _SENTENCE.sub(lambda start: start[1] + start[2].upper(), text)
    return text.upper() if case is Case.UPPER else text.lower()


def typed(text: str, referrer: Referrer, rng: np.random.Generator) -> str:
    """A line as this person types it."""
    if referrer.telegraph:
        text = _DROPPED.sub("", text)
    text = "".join(_errors(_missed_blanks(text, referrer.errors / 2.0, rng), referrer.errors, rng))
    if referrer.tight:
        text = text.replace(", ", ",")
    ends = "." if referrer.separator == ". " and rng.random() < 0.7 else ""
    return _cased(text, referrer.case) + ends

"""Reads the state of every symptom off a request, as a patient reader would: spelling, phrases, scopes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from dicomnode.cohort.second.mentions import Mention
from tests.unit.cohort.second.reading_rules import FORGIVEN, HEDGES, NEGATIONS, RULES

SENTENCE = re.compile(r"\. ?(?!\d)|;| - | // ")
PIECE = re.compile(r",| but ")
WORD = re.compile(r"[a-z]+")
EMPTY = re.compile(r"\b(?:the|an?|is|was|has|had|been|were|are)\b(?!')\s*")
FREQUENT = 4
NUMBERS = frozenset({"eight", "eighth"})
"""Of an age in words: no slip of "height"."""


def _bounded(body: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{body})(?![a-z0-9])")


def _phrase(phrase: str) -> str:
    return r"\s+".join(
        "[a-z0-9]*" if word == "*" else re.escape(word).replace(r"\*", "[a-z0-9]*") for word in phrase.split()
    )


def _any(phrases: Iterable[str]) -> re.Pattern[str]:
    ordered = sorted(phrases, key=len, reverse=True)
    return _bounded("|".join(map(_phrase, ordered))) if ordered else re.compile(r"(?!)")


SAYS = {name: _any(rule.says) for name, rule in RULES.items()}
DENIES = {name: _any(rule.denies) for name, rule in RULES.items()}
FORGIVE = _any(FORGIVEN)
WORDS = {word for rule in RULES.values() for p in (*rule.says, *rule.denies) for word in p.split()}
KEY = _any(WORDS - {"*"})


def _triggers(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(
        "|".join(rf"(?<![a-z]){p}(?![a-z])" if p[-1].isalpha() and p[0].isalpha() else p for p in patterns)
    )


TRIGGERS = {word for pattern in (*HEDGES, *NEGATIONS) for word in WORD.findall(pattern)}
HEDGE, NEGATE = _triggers(HEDGES), _triggers(NEGATIONS)


def _shortened(word: str) -> set[str]:
    return {word, *(word[:k] + word[k + 1 :] for k in range(len(word)))}


def _is_slip(word: str, key: str) -> bool:
    """Whether one word is the other with two letters swapped, or with one letter more or less."""
    return len(word) != len(key) or sorted(word) == sorted(key)


class Speller:
    """Knows its own words and those that are frequent; takes a rare neighbour of one of its own for that word."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.counts = Counter(word for text in texts for word in WORD.findall(text.lower()))
        frequent = {word for word, count in self.counts.items() if count >= FREQUENT and KEY.fullmatch(word)}
        self.keys: dict[str, set[str]] = {}
        for word in frequent | {word for word in WORDS if WORD.fullmatch(word)}:
            for part in _shortened(word) if len(word) > 4 else ():
                self.keys.setdefault(part, set()).add(word)
        self.corrected = cache(self._corrected)

    def _corrected(self, word: str) -> str:
        count = self.counts[word]
        if len(word) < 4 or count > 30 or word in TRIGGERS | NUMBERS or KEY.fullmatch(word):
            return word
        near = {key for part in _shortened(word) for key in self.keys.get(part, ()) if _is_slip(word, key)}
        best = max(near, key=lambda key: self.counts[key], default="")
        if best and self.counts[best] >= count:
            return best
        return self._parted(word)

    def _parted(self, word: str) -> str:
        pairs = ((word[:k], word[k:]) for k in range(4, len(word) - 3))
        good = [p for p in pairs if min(self.counts[p[0]], self.counts[p[1]]) >= max(2, 3 * self.counts[word])]
        return " ".join(good[0]) if good else word

    def correct(self, text: str) -> str:
        """A text in small letters with its typing errors mended."""
        return WORD.sub(lambda found: self.corrected(found.group()), text.lower())


Named = tuple[int, int, str, bool]
"""First and last letter of a phrase, the symptom, and whether the phrase itself tells its absence."""


def _named(piece: str) -> list[Named]:
    """Symptoms that a piece names; a phrase within a longer one is a part of that one."""
    spans = [(*m.span(), name, False) for name, says in SAYS.items() for m in says.finditer(piece)]
    spans += [(*m.span(), name, True) for name, denies in DENIES.items() for m in denies.finditer(piece)]
    return [one for one in spans if not any(_within(one, other) for other in spans)]


def _within(one: Named, other: Named) -> bool:
    """Whether a phrase is a part of another, or as long as one of the same symptom that tells its absence."""
    inside = other[0] <= one[0] and one[1] <= other[1]
    return inside and (other[1] - other[0] > one[1] - one[0] or (other[2:] == (one[2], True) and not one[3]))


def _without(piece: str, named: Iterable[Named]) -> str:
    for start, end, _, _ in named:
        piece = piece[:start] + "@" * (end - start) + piece[end:]
    return FORGIVE.sub(" ", piece)


def read(text: str, speller: Speller) -> dict[str, set[Mention]]:
    """The states in which each symptom occurs; one that does not occur is not in the answer."""
    found: dict[str, set[Mention]] = {}
    for sentence in SENTENCE.split(speller.correct(text)):
        negated = False
        for piece in PIECE.split(EMPTY.sub("", sentence)):
            named = _named(piece)
            rest = _without(piece, named)
            hedged = bool(HEDGE.search(rest))
            negated = negated or (not hedged and bool(NEGATE.search(rest)))
            for _, _, name, denied in named:
                state = Mention.UNCERTAIN if hedged else Mention.DENIED if denied or negated else Mention.PRESENT
                found.setdefault(name, set()).add(state)
    return found

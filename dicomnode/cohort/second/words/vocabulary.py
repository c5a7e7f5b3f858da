"""All words of the wordings, so that a typing error can be kept from making another one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from dicomnode.cohort.second.words.lexicon import read_table

TABLES = ("a_symptoms.toml", "a_requests.toml", "b_symptoms.toml", "b_requests.toml")
_LETTERS = re.compile(r"[a-z]+")
_PLACE = re.compile(r"\{[a-zA-Z_]*\}")


def _strings(table: Any) -> Iterator[str]:
    if isinstance(table, str):
        yield table
    elif isinstance(table, Mapping):
        for value in table.values():
            yield from _strings(value)
    else:
        for value in table:
            yield from _strings(value)


@cache
def guarded() -> frozenset[str]:
    """Words that negate or hedge, or whose loss could turn a statement."""
    return frozenset(read_table("typing.toml")["guarded"])


@cache
def _words() -> frozenset[str]:
    texts = (_PLACE.sub(" ", text).lower() for name in TABLES for text in _strings(read_table(name)))
    return frozenset(word for text in texts for word in _LETTERS.findall(text))


def _shortened(word: str) -> set[str]:
    """The word and all that is left of it without one letter."""
    return {word, *(word[:k] + word[k + 1 :] for k in range(len(word)))}


@cache
def _index() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for word in _words():
        for part in _shortened(word):
            found[part].add(word)
    return {part: frozenset(words) for part, words in found.items()}


def is_word(text: str) -> bool:
    """Whether some wording holds this word (small letters)."""
    return text in _words()


def readings(text: str) -> set[str]:
    """Words that a typed word may stand for: those from which it is at most about one slip away.

    Two words are that near where leaving out at most one letter of each makes them equal: this holds for a letter
    swapped with the next, left out, typed twice or replaced (symmetric deletes, as in the SymSpell algorithm).
    """
    index = _index()
    return {word for part in _shortened(text) for word in index.get(part, frozenset())}

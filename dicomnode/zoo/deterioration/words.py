"""A request as a network reads it: statements, words, and pieces of words by their hash.

Words are known by their n-grams of letters, so that one that was never seen, or is typed wrongly, is near to its kin
(Bojanowski et al., TACL 2017;5:135). A hash takes the place of a vocabulary: there is no file to be read and no word
that is unknown.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

BUCKETS = 4096
"""Pieces fall into so many; 0 stands for none."""
MOST_PIECES, MOST_WORDS = 16, 40
"""Of a word, of a statement; a longer statement is cut into several."""
_SHORTEST, _LONGEST = 3, 5
_APART = re.compile(r"[.;!]+(?:\s+|$)|\s*(?://+|[\n\r|•·*]|\s[-\u2013\u2014>]+\s)\s*")
_BULLET = re.compile(r"^[ \t]*[-\u2013*][ \t]+", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?|\d+|[^\w\s]")


def statements_of(text: str) -> list[str]:
    """The parts of a request whose words belong together: no negation reaches from one into the next.

    >>> statements_of("Denies headache. Unsteady // no vomiting, walks well")
    ['Denies headache', 'Unsteady', 'no vomiting, walks well']
    """
    # a mark before several lines makes a list of them; before one it may mean "no"
    plain = _BULLET.sub("", text) if len(_BULLET.findall(text)) > 1 else text
    return [short for part in _APART.split(plain) for short in _cut(part.strip())]


def _cut(statement: str) -> Iterator[str]:
    """A statement in parts of at most ``MOST_WORDS`` words."""
    words = list(_WORD.finditer(statement.lower()))
    for first in range(0, len(words), MOST_WORDS):
        last = words[min(first + MOST_WORDS, len(words)) - 1]
        yield statement[words[first].start() : last.end()]


def words_of(statement: str) -> list[str]:
    """Words, numbers and marks of a statement in small letters; a number is told by its digits' count alone.

    >>> words_of("72F ?Ataxia, h/a")
    ['00', 'f', '?', 'ataxia', ',', 'h', '/', 'a']
    """
    found = _WORD.findall(statement.lower())
    return ["0" * len(word) if word.isdecimal() else word for word in found]


@lru_cache(maxsize=65536)
def pieces_of(word: str) -> NDArray[np.int64]:
    """(MOST_PIECES,) buckets of a word and of its n-grams of 3 to 5 letters, the word's ends marked; 0 fills up."""
    marked = f"<{word}>"
    grams = [marked] + [
        marked[start : start + size]
        for size in range(_SHORTEST, min(_LONGEST, len(marked) - 1) + 1)
        for start in range(len(marked) - size + 1)
    ]
    pieces = np.zeros(MOST_PIECES, np.int64)
    kept = [1 + zlib.crc32(gram.encode()) % (BUCKETS - 1) for gram in grams[:MOST_PIECES]]
    pieces[: len(kept)] = kept
    return pieces


def encoded(statements: Sequence[Sequence[str]]) -> torch.Tensor:
    """(statements, words, MOST_PIECES) int64 buckets of statements in words, 0 where there is none.

    Words beyond ``MOST_WORDS`` of a statement are left out; :func:`statements_of` gives no longer ones.
    """
    words = max((min(len(statement), MOST_WORDS) for statement in statements), default=0)
    table = np.zeros((len(statements), max(words, 1), MOST_PIECES), np.int64)
    for row, statement in enumerate(statements):
        for column, word in enumerate(statement[:MOST_WORDS]):
            table[row, column] = pieces_of(word)
    return torch.from_numpy(table)

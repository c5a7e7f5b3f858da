"""Does a protocol of the configuration match a series, and if not, why not?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicomnode.config.protocols import Match, Range
from dicomnode.dicom.headers import is_technical, values_of
from dicomnode.records import Header

MAX_SHOWN = 5
"""Distinct values shown of a keyword; slices of one series rarely differ."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition of a protocol against one series.

    Attributes
    ----------
    wanted : the condition as text.
    seen : the distinct values of the series, ``(absent)`` where a slice has none.
    """

    keyword: str
    wanted: str
    seen: str
    ok: bool

    def sentence(self) -> str:
        """What a person reads."""
        return f"{self.keyword} {'matches' if self.ok else 'does not match'} {self.wanted}: {self.seen}"


def matches(match: Mapping[str, Match], headers: Sequence[Header]) -> bool:
    """Whether every condition holds for every slice. No headers match nothing; no conditions match any series."""
    return bool(headers) and all(clause.ok for clause in explain(match, headers))


def explain(match: Mapping[str, Match], headers: Sequence[Header]) -> list[Clause]:
    """Each condition with what was seen.

    A regular expression is searched in the value (several values joined by a backslash, whole numbers without a point);
    an absent value is the empty text. A list names the allowed values, of which one value of the element must be one.
    A range needs a number.
    """
    return [_clause(keyword, wanted, headers) for keyword, wanted in match.items()]


def unmatchable_keywords(match: Mapping[str, Match]) -> list[str]:
    """Keywords that no header ever holds: no DICOM keyword at all, or left out as personal, sequence or bulk."""
    return [keyword for keyword in match if not is_technical(keyword)]


def _clause(keyword: str, wanted: Match, headers: Sequence[Header]) -> Clause:
    seen = list(dict.fromkeys(tuple(_shown(value) for value in values_of(header, keyword)) for header in headers))
    ok = bool(seen) and all(_holds(wanted, values) for values in seen)
    return Clause(keyword, _wanted(wanted), _summary(seen), ok)


def _holds(wanted: Match, values: tuple[str, ...]) -> bool:
    if isinstance(wanted, Range):
        numbers = _numbers(values)
        return bool(numbers) and all(wanted.holds(number) for number in numbers)
    if isinstance(wanted, str):
        return re.search(wanted, "\\".join(values)) is not None
    return any(value.strip() == allowed.strip() for value in values for allowed in wanted)


def _numbers(values: Iterable[str]) -> list[float]:
    """The values as numbers; empty where any is none."""
    try:
        return [float(value) for value in values]
    except ValueError:
        return []


def _shown(value: Any) -> str:
    """The value as written in a file: 5.0 as ``5``, since DS has no canonical form."""
    return f"{value:.15g}" if isinstance(value, float) else "" if value is None else str(value)


def _wanted(wanted: Match) -> str:
    if isinstance(wanted, str):
        return f"/{wanted}/"
    if isinstance(wanted, Range):
        low = "" if wanted.min is None else f"{wanted.min:g}"
        high = "" if wanted.max is None else f"{wanted.max:g}"
        return f"{low}..{high}"
    return "one of " + ", ".join(wanted)


def _summary(seen: Sequence[tuple[str, ...]]) -> str:
    shown = ["\\".join(values) or "(absent)" for values in seen[:MAX_SHOWN]]
    return ", ".join(shown) + (", ..." if len(seen) > MAX_SHOWN else "") if shown else "(no slices)"

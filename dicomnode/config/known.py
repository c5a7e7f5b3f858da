"""What somebody may have meant who wrote a name that is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

CLOSE = 0.6
"""Similarity of two names, from 0 to 1, from which one is taken for a slip of the other."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """``; did you mean 'seg'?``, to be put behind a sentence; empty where nothing known is close."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(given.lower(), by_lower, n=1, cutoff=CLOSE)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def there_are(given: str, known: Iterable[str]) -> str:
    """``; there are: seg, sr; did you mean 'seg'?``: all that is known, too."""
    names = [str(name) for name in known]
    return f"; there are: {', '.join(names) or 'none'}{did_you_mean(given, names)}"

"""Whether a text tells of a patient, or a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHORT = 3


def told_in(text: str, words: Iterable[str]) -> list[str]:
    """Those of some words that a text tells.

    One that is short or made of digits counts where it stands alone: identifiers, ports, paths and digests are made of
    such, and hold any of them now and then.
    """
    return [word for word in words if re.search(_pattern(word), text)]


def _pattern(word: str) -> str:
    alone = len(word) < SHORT or (word.replace(".", "").isdigit() and len(word) < 8)
    return rf"(?<![0-9A-Za-z.]){re.escape(word)}(?![0-9A-Za-z])" if alone else re.escape(word)

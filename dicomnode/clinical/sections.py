"""Sections of a report that comes as one text: divided by the headings that readers use, English and German."""

from __future__ import annotations

import re
from collections.abc import Iterator

REPORT = "report"
"""What stands under no heading, or under one that no model asks for."""
HEADINGS = {
    "indication": r"(?:clinical )?indications?|reason for (?:exam(?:ination)?|study)|clinical (?:question|information)"
    r"|indikation(?:en)?|fragestellung|rechtfertigende indikation|klinische (?:angaben|fragestellung)",
    "history": r"(?:clinical |medical )?history|anamnese|vorgeschichte",
    "findings": r"findings?|befunde?",
    "impression": r"impressions?|conclusions?|beurteilung|zusammenfassung",
    REPORT: r"techniques?|comparisons?|procedure|addendum|technik|methode|voraufnahmen?|vergleich|nachtrag",
}
"""Section -> headings, as a regular expression."""
_HEADING = re.compile(
    r"^[ \t]*(?:" + "|".join(f"(?P<{name}>{words})" for name, words in HEADINGS.items()) + r")[ \t]*:[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)


def divided(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a text by its headings; what stands before the first, or under another heading, stays ``report``."""
    section, start = REPORT, 0
    for heading in _HEADING.finditer(text):
        yield section, text[start : heading.start()]
        section = heading.lastgroup or REPORT
        start = heading.end() if section != REPORT else heading.start()
    yield section, text[start:]


def section(text: str, name: str) -> str:
    """One section of a report without its heading; empty where the report has none.

    Parameters
    ----------
    name : machine name, such as ``indication``.
    """
    parts = (part.strip() for found, part in divided(text) if found == name)
    return "\n".join(part for part in parts if part)

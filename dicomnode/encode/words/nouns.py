"""How a finding is named within sentences: languages inflect."""

from __future__ import annotations

from typing import NamedTuple


class Noun(NamedTuple):
    """The forms of one noun; ``{noun}`` stands for the label of a finding that no table knows.

    Attributes
    ----------
    plain : as in "haemorrhage overview".
    none : as at the start of "No haemorrhage above the detection limit".
    possible : as in "2 mL marked as possible haemorrhage".
    excluded : as in "This does not exclude haemorrhage".
    """

    plain: str
    none: str
    possible: str
    excluded: str

    def of(self, noun: str) -> Noun:
        """The forms with the label filled in."""
        return Noun(*(form.replace("{noun}", noun) for form in self))

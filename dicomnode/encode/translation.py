"""Texts that were told in English, in the language of the results: the sentence is looked up, and its places filled.

A text that no table has stays English: better a word in another language than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

from dicomnode.language import Told


class _Filled(Formatter):
    """Fills places with texts that are translated, and figures as the language writes them."""

    def __init__(self, translate: Callable[[str], str], figure: Callable[[str], str]) -> None:
        self._translate, self._figure = translate, figure

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, str):
            return self._translate(value)
        return self._figure(format(value, format_spec))


def translated(text: str, table: Mapping[str, str], figure: Callable[[str], str]) -> str:
    """A text by a table of sentences.

    Parameters
    ----------
    table : English sentence, with its places -> the same in another language.
    figure : writes a number as the language does.
    """
    if not isinstance(text, Told):
        return table.get(text, text)
    sentence = table.get(text.sentence, text.sentence)
    fill = _Filled(lambda inner: translated(inner, table, figure), figure)
    return fill.vformat(sentence, (), text.figures)

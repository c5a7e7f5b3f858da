"""The languages of results, texts that can be said in each, and the two spellings of the names of models."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Language(StrEnum):
    """Of the sentences in reports and pictures. Codes of DICOM keep the meaning that the standard gives them."""

    BRITISH = "en-GB"
    AMERICAN = "en-US"
    GERMAN = "de"


MODEL_SPELLINGS = {"haemorrhage": "hemorrhage", "oedema": "edema"}
"""What a person in Britain types, and what the model is called."""


def model_name(typed: str) -> str:
    """The name of a model as the node knows it, however a person spells it.

    >>> model_name("haemorrhage"), model_name("haemorrhage-paper"), model_name("followup")
    ('hemorrhage', 'hemorrhage-paper', 'followup')
    """
    word, dash, rest = typed.partition("-")
    return f"{MODEL_SPELLINGS.get(word, word)}{dash}{rest}"


class Told(str):
    """An English text that remembers how it was made: its sentence with places, and what fills them.

    Whoever writes results in another language looks up the sentence; everybody else has a text.

    Attributes
    ----------
    sentence : with places as :meth:`str.format` has them.
    figures : what fills them: numbers, texts, and texts that were told themselves.
    """

    __slots__ = ("figures", "sentence")
    sentence: str
    figures: dict[str, object]

    def __new__(cls, sentence: str, figures: dict[str, object]) -> Told:
        made = super().__new__(cls, sentence.format(**figures))
        made.sentence, made.figures = sentence, figures
        return made

    def __getnewargs__(self) -> tuple[str, dict[str, object]]:  # type: ignore[override]
        """For a copy in another process."""
        return self.sentence, self.figures


def told(sentence: str, **figures: object) -> Told:
    """A text for people that can be said in every language of the results.

    >>> told("{share:.0f} % of {what}", share=12.3, what="all")
    '12 % of all'
    """
    return Told(sentence, figures)


def listed(items: Iterable[str], between: str = ", ") -> Told:
    """Several texts in a row.

    >>> listed(["a", told("{n} b", n=2)])
    'a, 2 b'
    """
    named = {f"n{place}": item for place, item in enumerate(items)}
    return Told(between.join(f"{{{name}}}" for name in named), dict(named))

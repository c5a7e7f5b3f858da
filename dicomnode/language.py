"""The languages in which results are written, and the two spellings in which people type the names of models."""

from __future__ import annotations

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

"""The wordings that the reader learns from: those of the training site, and those of a thesaurus beside this module.

The thesaurus was written without a look at any site's tables; of another site's wordings nothing enters.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from dicomnode.cohort.second.words.lexicon import read_table
from dicomnode.zoo.deterioration.reader import Said

STATES = (Said.PRESENT, Said.UNCERTAIN, Said.DENIED)
_KEYS = {Said.PRESENT: "present", Said.UNCERTAIN: "uncertain", Said.DENIED: "denied"}
_FILLED = {"he": ("he", "she"), "his": ("his", "her"), "him": ("him", "her")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The wordings of one source.

    Attributes
    ----------
    natures : symptom -> which frames its things fit.
    things : symptom -> noun phrases. alone : symptom, state -> wordings that need no frame.
    frames : nature, state -> sentences with one place ``{}``.
    """

    natures: Mapping[str, str]
    things: Mapping[str, Sequence[str]]
    alone: Mapping[tuple[str, Said], Sequence[str]]
    frames: Mapping[tuple[str, Said], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All that statements are made of: wordings by source, and remarks that tell of no symptom, with their places."""

    words: Sequence[Words]
    others: Sequence[str]
    remarks: Sequence[str]
    slots: Mapping[str, Sequence[str]]


def _words(symptoms: Mapping[str, Any], frames: Mapping[str, Any]) -> Words:
    return Words(
        natures={name: table["nature"] for name, table in symptoms.items()},
        things={name: table["things"] for name, table in symptoms.items()},
        alone={(name, state): table[_KEYS[state]] for name, table in symptoms.items() for state in STATES},
        frames={(nature, state): table[_KEYS[state]] for nature, table in frames.items() for state in STATES},
    )


@cache
def sources() -> Sources:
    """Of the training site and of the thesaurus."""
    requests = read_table("a_requests.toml")
    remarks = [line for lines in (*requests["asides"].values(), *requests["reason"].values()) for line in lines]
    return Sources(
        words=(
            _words(read_table("a_symptoms.toml"), requests["frames"]),
            _words(_own("symptoms.toml"), _own("frames.toml")),
        ),
        others=requests["unasked"]["things"],
        remarks=[*remarks, *requests["who"]],
        slots={**requests["slots"], "relative": requests["relatives"]["any"], **_FILLED},
    )


def _own(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("thesaurus", name).read_text(encoding="utf-8"))


def thesaurus_lines() -> Iterator[str]:
    """Every wording of the thesaurus."""
    for name in ("symptoms.toml", "frames.toml"):
        for table in _own(name).values():
            yield from (line for lines in table.values() if isinstance(lines, list) for line in lines)

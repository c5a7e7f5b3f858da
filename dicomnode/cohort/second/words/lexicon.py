"""The wordings of both hospitals that have their own, read from the tables beside this module.

Wordings are free inventions of this cohort in the manner of request forms; no text of a patient was used. Site A writes
British, site B American; what B calls a symptom, A seldom does. Site C has staff from both and takes each part of a
request from one or the other.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from dicomnode.cohort.patients import Site
from dicomnode.cohort.second.mentions import Mention

Wordings = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymptomWords:
    """How one hospital words one symptom.

    Attributes
    ----------
    nature : which frames its ``things`` fit: complaint, event, mechanism, background, procedure or result.
    things : noun phrases, for frames and lists.
    alone : wordings that need no frame, by state.
    """

    nature: str
    things: Wordings
    alone: Mapping[Mention, Wordings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """All wordings of one hospital.

    Attributes
    ----------
    symptoms : by name of the symptom.
    frames : nature -> state -> sentences with a place ``{}`` for one noun phrase or a list of them.
    lists : what joins the items of a list, by state.
    reasons : why the scan is asked for, by arm.
    layouts : order of the parts of a request and their headings.
    who : sentences that state age and sex; ``persons``: nouns by sex.
    relatives : those of any patient, of the young and of the old.
    unasked, unasked_frames : symptoms that carry no outcome, and how they are denied.
    asides : kind -> sentences that carry no outcome; ``slots``: what fills their places.
    """

    symptoms: Mapping[str, SymptomWords]
    frames: Mapping[str, Mapping[Mention, Wordings]]
    lists: Mapping[Mention, Wordings]
    reasons: Mapping[str, Wordings]
    layouts: Wordings
    who: Wordings
    persons: Mapping[str, Wordings]
    relatives: Mapping[str, Wordings]
    unasked: Wordings
    unasked_frames: Wordings
    asides: Mapping[str, Wordings]
    slots: Mapping[str, Wordings]


COMMON = 8
"""How often a wording that both sites have is listed: what everybody says is said far more than what one hospital says."""
_STATES = {"present": Mention.PRESENT, "uncertain": Mention.UNCERTAIN, "denied": Mention.DENIED}


def read_table(name: str) -> dict[str, Any]:
    """One table of wordings beside this module."""
    return tomllib.loads(resources.files(__package__).joinpath("tables", name).read_text(encoding="utf-8"))


def _often(own: list[str], elsewhere: list[str]) -> Wordings:
    """Wordings of one site, those of both sites :data:`COMMON` times."""
    return tuple(wording for wording in own for _ in range(COMMON if wording in elsewhere else 1))


def _by_state(table: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> dict[Mention, Wordings]:
    return {state: _often(table[key], other[key]) for key, state in _STATES.items()}


def _tuples(table: Mapping[str, list[str]]) -> dict[str, Wordings]:
    return {key: tuple(values) for key, values in table.items()}


def _symptom(table: Mapping[str, Any], other: Mapping[str, Any]) -> SymptomWords:
    things = _often(table["things"], other["things"])
    return SymptomWords(nature=table["nature"], things=things, alone=_by_state(table, other))


@cache
def lexicon(site: Site) -> Lexicon:
    """The wordings of site A or B.

    Raises
    ------
    KeyError : the site has none of its own (C).
    """
    own, other = {Site.A: ("a", "b"), Site.B: ("b", "a")}[site]
    requests, frames = read_table(f"{own}_requests.toml"), read_table(f"{other}_requests.toml")["frames"]
    symptoms = read_table(f"{other}_symptoms.toml")
    return Lexicon(
        symptoms={name: _symptom(table, symptoms[name]) for name, table in read_table(f"{own}_symptoms.toml").items()},
        frames={nature: _by_state(table, frames[nature]) for nature, table in requests["frames"].items()},
        lists={_STATES[state]: tuple(marks) for state, marks in requests["lists"].items()},
        reasons=_tuples(requests["reason"]),
        layouts=tuple(requests["layouts"]),
        who=tuple(requests["who"]),
        persons=_tuples(requests["persons"]),
        relatives=_tuples(requests["relatives"]),
        unasked=tuple(requests["unasked"]["things"]),
        unasked_frames=tuple(requests["unasked"]["frames"]),
        asides=_tuples(requests["asides"]),
        slots=_tuples(requests["slots"]),
    )


def lexicon_of(site: Site, rng: np.random.Generator) -> Lexicon:
    """The wordings that one part of a request takes: those of the site, at C those of A or B by chance."""
    if site is Site.C:
        return lexicon(Site.A if rng.random() < 0.5 else Site.B)
    return lexicon(site)


def choice(rng: np.random.Generator, wordings: Wordings) -> str:
    """One of several wordings."""
    return wordings[int(rng.integers(len(wordings)))]

"""The indication of a request: who, why, symptoms and remarks in the order of a layout, as one line of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dicomnode.cohort.patients import Patient
from dicomnode.cohort.second.mentions import Mention, states_age
from dicomnode.cohort.second.words.asides import asides
from dicomnode.cohort.second.words.filling import fill
from dicomnode.cohort.second.words.lexicon import choice, lexicon_of
from dicomnode.cohort.second.words.referrers import Referrer, referrer_of
from dicomnode.cohort.second.words.statements import STATED, Clause, statements
from dicomnode.cohort.second.words.typist import typed
from dicomnode.cohort.streams import stream

_APART = ("{who}. {reason}", "{who}, {reason}", "{reason}. {who}")
_TOGETHER = ("{reason}, {who}", "{reason} in {who}")
_BREAKS_OFF = ("this", "pt")


def _opening(patient: Patient) -> Clause:
    rng = stream(patient.seed, "words", "opening")
    words = lexicon_of(patient.site, rng)
    reason = fill(choice(rng, words.reasons[patient.arm.value]), patient, words, rng)
    if not states_age(patient.seed):
        return Clause(reason)
    who = fill(choice(rng, words.who), patient, words, rng)
    plain = not (who.startswith(_BREAKS_OFF) or reason.endswith("?") or "," in reason)
    form = choice(rng, (*_APART, *_TOGETHER) if plain else _APART)
    return Clause(form.format(who=who, reason=reason))


def _blocks(patient: Patient, referrer: Referrer) -> Iterator[tuple[str, list[Clause]]]:
    """Headings (mostly none) and the clauses below each, in the order of one layout of the site."""
    rng = stream(patient.seed, "words", "layout")
    early, late = asides(patient, referrer)
    parts = {"opening": [_opening(patient)], "early": early, "late": late}
    parts |= {state.name.lower(): statements(patient, state, referrer) for state in STATED}
    for block in choice(rng, lexicon_of(patient.site, rng).layouts).split(" | "):
        heading, _, names = block.rpartition(":")
        yield heading, [clause for name in names.split() for clause in parts[name]]


def _runs_on(before: Clause, after: Clause) -> bool:
    """Whether both may share a sentence: a negation, and a hedge, must not reach what comes after it."""
    if before.state is None or after.state is None:
        return False
    return STATED.index(before.state) <= STATED.index(after.state)


def _comma(before: Clause, after: Clause, rng: np.random.Generator) -> str:
    if before.state is after.state is Mention.PRESENT and "," not in before.text:
        return (", ", " and ", ", ")[int(rng.integers(3))]
    turns = before.state is Mention.PRESENT and after.state is Mention.DENIED
    return (", ", " but ")[int(rng.integers(2))] if turns else ", "


def _line(blocks: Sequence[tuple[str, list[Clause]]], referrer: Referrer, rng: np.random.Generator) -> str:
    text, last = "", None
    for heading, clauses in blocks:
        for k, clause in enumerate(clauses):
            start = f"{heading}: " if heading and k == 0 else ""
            if last is None:
                text = f"{start}{clause.text}"
            elif not start and _runs_on(last, clause) and rng.random() < referrer.runs_on:
                text += f"{_comma(last, clause, rng)}{clause.text}"
            else:
                text += f"{referrer.separator}{start}{clause.text}"
            last = clause
    return text


def compose(patient: Patient) -> str:
    """The indication as it was meant, before anybody typed it; one line."""
    referrer = referrer_of(patient)
    return _line(list(_blocks(patient, referrer)), referrer, stream(patient.seed, "words", "line"))


def write_indication(patient: Patient) -> str:
    """The indication as the referrer typed it, without heading.

    It says exactly ``patient.mentions``: what is present is affirmed, what is uncertain hedged, what is denied negated,
    and what is absent occurs in no word. Beside it come arm, age and sex (in part) and remarks that carry no outcome.
    Made from seed, arm, site, age, sex and mentions alone; the same patient gives the same words.
    """
    return typed(compose(patient), referrer_of(patient), stream(patient.seed, "words", "typing"))

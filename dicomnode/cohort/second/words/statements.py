"""What a referrer says of the symptoms: exactly the mentions of a patient, alone or in lists under one frame.

One frame affirms, hedges or negates all items of its list ("denies HA, N/V or LOC"), so the words of a list stand in
one scope. Items of a hedge, and those before the negating word ("... denied"), are joined without commas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dicomnode.cohort.patients import Patient
from dicomnode.cohort.second.mentions import Mention
from dicomnode.cohort.second.words.filling import fill
from dicomnode.cohort.second.words.lexicon import Lexicon, choice, lexicon_of
from dicomnode.cohort.second.words.referrers import Referrer
from dicomnode.cohort.streams import stream

STATED = (Mention.PRESENT, Mention.UNCERTAIN, Mention.DENIED)
"""In the order in which one sentence may hold them: a negation comes last, so that it reaches nothing else."""
ASKED_OF = ("complaint", "event")
"""Natures whose denials referrers pad with symptoms that nobody asked for."""
PADDED = 0.4
"""Share of them."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Words of one state; ``state`` is None where they carry no outcome."""

    text: str
    state: Mention | None = None


def _joined(items: Sequence[str], frame: str, state: Mention, words: Lexicon, rng: np.random.Generator) -> str:
    last = " and " if state is Mention.PRESENT else " or "
    if state is Mention.UNCERTAIN or (state is Mention.DENIED and not frame.endswith("{}")):
        return " or ".join(items)
    mark = choice(rng, words.lists[state])
    if mark != ", ":
        return mark.join(items)
    return last.join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def _list(names: Sequence[str], nature: str, state: Mention, words: Lexicon, rng: np.random.Generator) -> str:
    """Symptoms of one nature in one frame."""
    items = [choice(rng, words.symptoms[name].things) for name in names]
    frame = choice(rng, words.frames[nature][state])
    if state is Mention.DENIED and nature in ASKED_OF and frame.endswith("{}") and rng.random() < PADDED:
        items += [str(item) for item in rng.permutation(words.unasked)[: int(rng.integers(1, 4))]]
        items = [items[k] for k in rng.permutation(len(items))]
    return frame.replace("{}", _joined(items, frame, state, words, rng))


def _alone(name: str, state: Mention, words: Lexicon, rng: np.random.Generator) -> str:
    """One symptom: a wording of its own, or its name in a frame."""
    symptom = words.symptoms[name]
    if rng.random() < 0.35:
        return choice(rng, words.frames[symptom.nature][state]).replace("{}", choice(rng, symptom.things))
    return choice(rng, symptom.alone[state])


def statements(patient: Patient, state: Mention, referrer: Referrer) -> list[Clause]:
    """All that is said in one state, in random order; nothing where no symptom has it."""
    rng = stream(patient.seed, "words", state.value)
    names = [name for name, mention in patient.mentions.items() if mention is state]
    names = [names[k] for k in rng.permutation(len(names))]
    words = lexicon_of(patient.site, rng)
    if rng.random() < referrer.lists:
        natures = dict.fromkeys(words.symptoms[name].nature for name in names)
        groups = {nature: [n for n in names if words.symptoms[n].nature == nature] for nature in natures}
        raw = [_list(group, nature, state, words, rng) for nature, group in groups.items()]
    else:
        raw = [_alone(name, state, words, rng) for name in names]
    return [Clause(fill(text, patient, words, rng), state) for text in raw]

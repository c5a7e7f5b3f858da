"""What a referrer says of each symptom, and what that tells."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from dicomnode.cohort.streams import uniform


class Mention(StrEnum):
    """How a symptom stands in the indication of a request."""

    PRESENT = "present"
    UNCERTAIN = "uncertain"
    DENIED = "denied"
    ABSENT = "not mentioned"


WEIGHT: dict[Mention, float] = {
    Mention.PRESENT: 1.0,
    Mention.UNCERTAIN: 0.5,
    Mention.DENIED: -0.4,
    Mention.ABSENT: 0.0,
}
"""What a mention counts for: a symptom looked for and not found is less likely than one that nobody looked for."""
OF_PRESENT: tuple[tuple[Mention, float], ...] = ((Mention.PRESENT, 0.74), (Mention.UNCERTAIN, 0.16))
OF_ABSENT: tuple[tuple[Mention, float], ...] = ((Mention.DENIED, 0.42), (Mention.UNCERTAIN, 0.05))
"""Share of each mention where the symptom is there and where it is not; the rest is not mentioned."""
AGE_STATED = 0.6


def draw_mentions(symptoms: Mapping[str, bool], seed: int) -> dict[str, Mention]:
    """What the referrer writes of each symptom."""
    return {name: _draw(present, uniform(seed, "mention", name)) for name, present in symptoms.items()}


def _draw(present: bool, chance: float) -> Mention:
    for mention, share in OF_PRESENT if present else OF_ABSENT:
        if chance < share:
            return mention
        chance -= share
    return Mention.ABSENT


def states_age(seed: int) -> bool:
    """Whether the referrer writes age and sex: six in ten do."""
    return uniform(seed, "mention", "age and sex") < AGE_STATED

"""What an exam comes to: positive, uncertain or negative. Decided here and nowhere else, and told the same everywhere.

Two things speak: the marks of the mask, and the probability that the exam shows the finding at all. Where they agree
the exam is positive or negative; where they do not it is uncertain, and it is said which of the two it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Decision(StrEnum):
    """What an exam comes to; results, rows of the database and commands say it with these words."""

    POSITIVE = "positive"
    UNCERTAIN = "uncertain"
    NEGATIVE = "negative"


class Grounds(StrEnum):
    """Why: what the marks said, and what the probability of the exam."""

    BOTH = "marks, and the exam at or above its threshold"
    MARKS_ALONE = "marks; no exam probability exists"
    EXAM_BELOW = "marks, but the exam below its threshold"
    NO_MARKS = "the exam at or above its threshold, but no marks above the detection limit"
    NEITHER = "no marks above the detection limit, and the exam below its threshold"
    NOTHING_MARKED = "no marks above the detection limit; no exam probability exists"

    @property
    def decision(self) -> Decision:
        """What follows from them."""
        return _DECISIONS[self]


_DECISIONS = {
    Grounds.BOTH: Decision.POSITIVE,
    Grounds.MARKS_ALONE: Decision.POSITIVE,
    Grounds.EXAM_BELOW: Decision.UNCERTAIN,
    Grounds.NO_MARKS: Decision.UNCERTAIN,
    Grounds.NEITHER: Decision.NEGATIVE,
    Grounds.NOTHING_MARKED: Decision.NEGATIVE,
}
_GRAVITY = (Decision.POSITIVE, Decision.UNCERTAIN, Decision.NEGATIVE)


def grounds_of(is_marked: bool, exam_probability: float | None, exam_threshold: float | None) -> Grounds:
    """What marks and exam say together.

    Parameters
    ----------
    is_marked : whether anything of at least the detection limit is marked.
    exam_probability, exam_threshold : None where the bundle gives none; the marks then decide alone.

    >>> [str(grounds_of(*said).decision) for said in ((True, 0.08, 0.56), (False, 0.6, 0.56), (True, None, None))]
    ['uncertain', 'uncertain', 'positive']
    """
    if exam_probability is None or exam_threshold is None:
        return Grounds.MARKS_ALONE if is_marked else Grounds.NOTHING_MARKED
    if exam_probability >= exam_threshold:
        return Grounds.BOTH if is_marked else Grounds.NO_MARKS
    return Grounds.EXAM_BELOW if is_marked else Grounds.NEITHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one finding of a run came to, as the database keeps it: nobody must decode a result to tell it.

    Attributes
    ----------
    finding : its machine name.
    volume_ml : of all counted marks, rounded as in the results; 0 without marks.
    lesions : how many are counted.
    dense_ml : marked, but too dense to be counted.
    decides : whether the exam may be called by it; oedema, say, is told, but makes no exam positive.
    """

    finding: str
    decision: Decision
    grounds: Grounds
    volume_ml: float
    lesions: int
    dense_ml: float = 0.0
    exam_probability: float | None = None
    exam_threshold: float | None = None
    decides: bool = True

    def in_words(self) -> str:
        """``positive, 26.9 mL, 3 lesions``: for tables and the history."""
        if not self.lesions:
            return str(self.decision)
        return f"{self.decision}, {self.volume_ml:g} mL, {self.lesions} lesion{'' if self.lesions == 1 else 's'}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """What :meth:`as_dict` gave.

        Raises
        ------
        ValueError, TypeError : it was given by nothing of the kind.
        """
        read = {"decision": Decision(values["decision"]), "grounds": Grounds(values["grounds"])}
        return cls(**{**values, **read})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOutcome:
    """What one score of a run came to, as the database keeps it. It makes no exam positive.

    Attributes
    ----------
    finding : its machine name.
    value : rounded as in the results, in ``unit``.
    unit : UCUM code; ``1`` for a probability.
    threshold : operating threshold of its category, in ``unit``; None where it has none.
    """

    finding: str
    value: float
    unit: str
    threshold: float | None = None

    @property
    def is_high(self) -> bool | None:
        """Whether it lies at or above its threshold; None where it has none."""
        return None if self.threshold is None else self.value >= self.threshold

    def in_words(self) -> str:
        """``0.34, at or above 0.28``: for tables and the history."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        side = {None: "", True: f", at or above {self.threshold:g}", False: f", below {self.threshold:g}"}[self.is_high]
        return f"{self.value:g}{unit}{side}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoreOutcome:
        """What :meth:`as_dict` gave.

        Raises
        ------
        TypeError : it was given by nothing of the kind.
        """
        return cls(**values)


Told = Outcome | ScoreOutcome


def told_from(values: Mapping[str, Any]) -> Told:
    """What ``as_dict`` of either gave.

    Raises
    ------
    ValueError, TypeError : it was given by neither.
    """
    return Outcome.from_dict(values) if "decision" in values else ScoreOutcome.from_dict(values)


def decision_of(outcomes: Iterable[Outcome]) -> Decision | None:
    """What an exam comes to: the gravest of the findings that have a say; None where none has."""
    return worst(outcome.decision for outcome in outcomes if outcome.decides)


def worst(decisions: Iterable[Decision]) -> Decision | None:
    """Of several findings the gravest; None where there is none.

    >>> worst([Decision.NEGATIVE, Decision.UNCERTAIN])
    <Decision.UNCERTAIN: 'uncertain'>
    """
    present = set(decisions)
    return next((decision for decision in _GRAVITY if decision in present), None)

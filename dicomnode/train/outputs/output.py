"""What every kind of output has: figures, what calibrates it, what a report says and draws of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicomnode.train.outputs.figures import Figure
from dicomnode.train.results import Results
from dicomnode.train.statistics import Difference

CALIBRATED = "_calibrated"
"""Ends the name of a column in which an output is given as calibrated on other exams."""
Calibration = Mapping[str, float]
"""JSON-able numbers by which an output is corrected."""


@dataclass(frozen=True, slots=True)
class Section:
    """A table of a report."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Account:
    """What a report says of one output beside its figures.

    Attributes
    ----------
    sentence : after the number of exams, such as "112 positive"; empty where there is nothing to say.
    content : JSON-able.
    """

    sentence: str = ""
    content: Mapping[str, object] = field(default_factory=dict)
    sections: Sequence[Section] = ()


class Output(ABC):
    """One thing that a model gives for an exam.

    Attributes
    ----------
    name : heads what a report says of it.
    truths : columns of the results that hold the truth.
    figures : by which it is judged, the most telling first.
    """

    name: str
    truths: tuple[str, ...]
    figures: tuple[Figure, ...]

    @abstractmethod
    def account(self, results: Results) -> Account:
        """What a report says of it beside its figures."""

    @abstractmethod
    def draw(self, out: Path, sets: Mapping[str, Results], synthetic: bool) -> list[str]:
        """Draw plots of each named set of results into a folder.

        Returns
        -------
        File names; none where there is nothing to draw.
        """

    def calibration(self, results: Results) -> Calibration | None:
        """How it is to be corrected, from exams set apart for it; None where it cannot or need not be."""
        return None

    def calibrated(self, results: Results, by: Calibration) -> Results:
        """The results with a further column, named with ``CALIBRATED``, in which it is corrected."""
        return results

    def other_differences(self, a: Results, b: Results) -> dict[str, tuple[str, Difference]]:
        """Key -> title and difference A minus B of the same exams, by another method than the bootstrap."""
        return {}


def having(sets: Mapping[str, Results], *columns: str) -> dict[str, Results]:
    """The named results that have all of these columns; those of another kind of model may not."""
    return {name: results for name, results in sets.items() if all(column in results.columns for column in columns)}


def figures_of_all(outputs: Sequence[Output]) -> tuple[Figure, ...]:
    """The figures of several outputs."""
    return tuple(figure for output in outputs for figure in output.figures)


def truths_of_all(outputs: Sequence[Output]) -> tuple[str, ...]:
    """The columns of truth of several outputs."""
    return tuple(name for output in outputs for name in output.truths)


def number(value: float) -> str:
    """Three digits, or that it is not defined."""
    return f"{value:.3f}" if value == value else "not defined"

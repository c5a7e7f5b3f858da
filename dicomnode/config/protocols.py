"""Which series go through which models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydicom.datadict import keyword_dict, tag_for_keyword

from dicomnode.config.known import did_you_mean
from dicomnode.config.sections import Name, Section, is_pattern
from dicomnode.language import model_name

HEAD_CT: dict[str, Any] = {
    "Modality": "^CT$",
    "BodyPartExamined": r"(?i)^$|head|brain|skull|neuro|sch(ä|ae)del|kopf|hirn|cr(a|â)n",
}
"""Head CT as scanners name it; an absent BodyPartExamined is no obstacle, since the volume gate and the search for a
brain within a skull still stand before every result. Contrast and other series are refused by triage."""


class Range(Section):
    """A range that must hold for every slice; either bound may be left out."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies within the bounds, both inclusive."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


def _kind_of_match(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "values"
    return "range" if isinstance(value, (dict, Range)) else "pattern"


def _is_keyword(value: str) -> str:
    if tag_for_keyword(value) is None:
        raise ValueError(f"{value!r} is no DICOM keyword{did_you_mean(value, keyword_dict)}")
    return value


Keyword = Annotated[str, AfterValidator(_is_keyword)]
Match = Annotated[
    Annotated[str, AfterValidator(is_pattern), Tag("pattern")]
    | Annotated[tuple[str, ...], Tag("values")]
    | Annotated[Range, Tag("range")],
    Discriminator(_kind_of_match),
]


class Protocol(Section):
    """Which series is run through which models, and where the results go.

    ``match``: DICOM keyword -> regular expression, list of allowed values, or range.
    """

    name: Name
    match: dict[Keyword, Match]
    models: Annotated[tuple[Annotated[Name, AfterValidator(model_name)], ...], Field(min_length=1)]
    destinations: tuple[Name, ...] = ()
    priority: Literal["stat", "routine"] = "routine"
    preferred_thickness_mm: Range = Range(min=2.0, max=8.0)

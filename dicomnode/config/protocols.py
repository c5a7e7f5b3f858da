"""Which series go through which models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydicom.datadict import keyword_dict, tag_for_keyword

from dicomnode.config.known import did_you_mean
from dicomnode.config.sections import Name, Section, is_pattern
from dicomnode.language import model_name

HEAD_CT: dict[str, Any] = {
    "Modality": "^CT$",
    "BodyPartExamined": r"(?i)^$|head|brain|skull|neuro|cereb|\bbase|sch(ä|ae)del|kopf|hirn|cr(a|â)n",
}
"""Head CT as scanners name it ("BASE 3MM" and "CEREBRUM" are the two halves of a head that is scanned step by step); an
absent BodyPartExamined is no obstacle, since the volume gate and the search for a brain within a skull still stand
before every result. Contrast and other series are refused by triage."""


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

    Attributes
    ----------
    match : DICOM keyword -> regular expression, list of allowed values, or range.
    shadow : run and record, and send nothing anywhere.
    canary_of : another protocol, in place of which this one takes ``share`` of the studies that both match.
    """

    name: Name
    match: dict[Keyword, Match]
    models: Annotated[tuple[Annotated[Name, AfterValidator(model_name)], ...], Field(min_length=1)]
    destinations: tuple[Name, ...] = ()
    priority: Literal["stat", "routine"] = "routine"
    preferred_thickness_mm: Range = Range(min=2.0, max=8.0)
    shadow: bool = False
    canary_of: Annotated[str, Field(max_length=64)] = ""
    share: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _share_is_of_something(self) -> Protocol:
        if self.share and not self.canary_of:
            raise ValueError("share belongs to canary_of")
        if self.canary_of == self.name:
            raise ValueError("canary_of names the protocol itself")
        return self


def in_turn(protocols: Sequence[Protocol], study_uid: str) -> list[Protocol]:
    """The protocols that a study goes through: of a canary and the one it stands in for, one.

    By a digest of the Study Instance UID: a study goes the same way whenever it is asked, and one that went by the
    canary still does when its share is raised.

    >>> from dicomnode.config.protocols import Protocol
    >>> main, new = (Protocol(name=name, match={}, models=("m",)) for name in ("main", "new"))
    >>> canary = new.model_copy(update={"canary_of": "main", "share": 0.25})
    >>> went = [in_turn([main, canary], f"1.2.{number}")[0].name for number in range(1000)]
    >>> went.count("new"), in_turn([main], "1.2.3") == [main]
    (244, True)
    """
    names = {protocol.name for protocol in protocols}
    canaries = [one for one in protocols if one.canary_of]
    taken = [one for one in canaries if one.canary_of in names and falls_within(study_uid, one.share)]
    replaced = {one.canary_of for one in taken}
    return [one for one in protocols if (one in taken if one.canary_of else one.name not in replaced)]


def falls_within(study_uid: str, share: float) -> bool:
    """Whether a study is of this share of all studies."""
    drawn = int.from_bytes(hashlib.sha256(study_uid.encode()).digest()[:8], "big") / 2**64
    return drawn < share

"""``[priors]``: an earlier head CT of a patient with a bleed, or the one after a forecast, fetched from an archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from dicomnode.config.sections import Section


class Priors(Section):
    """Which archive is asked for an earlier CT; ``destination`` empty: none, nothing is fetched or compared.

    Attributes
    ----------
    destination : name of the ``[[destination]]`` that is asked.
    protocol : name of the shadow protocol that fetched series go through, and nothing else does.
    hours_before : how long before the scan at hand.
    followups : whether the CT after a forecast is fetched, too, where nobody sent one.
    max_series : of an earlier study so many are fetched at most, those with the fewest slices first.
    min_slices, max_slices : a series with fewer or more is not fetched, where the archive tells how many it has.
    timeout_s : how long the archive may take to send one series.
    attempts : so often it is asked where it does not answer.
    """

    destination: Annotated[str, Field(max_length=64)] = ""
    protocol: Annotated[str, Field(max_length=64)] = ""
    hours_before: Annotated[float, Field(gt=0, le=720)] = 24.0
    followups: bool = False
    max_series: Annotated[int, Field(ge=1, le=10)] = 2
    min_slices: Annotated[int, Field(ge=1)] = 10
    max_slices: Annotated[int, Field(ge=1, le=10_000)] = 600
    timeout_s: Annotated[float, Field(ge=1, le=3600)] = 300.0
    attempts: Annotated[int, Field(ge=1, le=100)] = 5

    @property
    def is_on(self) -> bool:
        """Whether an archive is asked."""
        return bool(self.destination)

    @model_validator(mode="after")
    def _whole(self) -> Priors:
        if bool(self.destination) != bool(self.protocol):
            raise ValueError("destination and protocol belong together: who is asked, and what is done with what comes")
        if self.followups and not self.destination:
            raise ValueError("followups without a destination: who is asked?")
        if self.min_slices > self.max_slices:
            raise ValueError("min_slices is above max_slices")
        return self


def prior_faults(
    raw: Mapping[str, Any], protocols: list[dict[str, Any]], known: list[str]
) -> Iterator[tuple[str, str]]:
    """Faults between this section and others: key and what is wrong.

    Parameters
    ----------
    raw : the whole configuration. known : names of its destinations.
    """
    priors, clinical = raw.get("priors", {}), raw.get("clinical", {})
    if not isinstance(priors, dict) or not priors.get("destination"):
        return
    if priors["destination"] not in known:
        yield "destination", f"no [[destination]] is named {priors['destination']!r}"
    named = [one for one in protocols if one.get("name") == priors.get("protocol")]
    if priors.get("protocol") and not (named and named[0].get("shadow") is True):
        yield "protocol", f"no [[protocol]] with shadow = true is named {priors['protocol']!r}"
    default = Priors().hours_before
    before_h, counted_h = (
        table.get(key, default) if isinstance(table, dict) else default
        for table, key in ((priors, "hours_before"), (clinical, "hours_before"))
    )
    if isinstance(before_h, int | float) and isinstance(counted_h, int | float) and before_h > counted_h:
        yield (
            "hours_before",
            f"{before_h:g} h, but clinical.hours_before lets nothing count before {counted_h:g} h",
        )

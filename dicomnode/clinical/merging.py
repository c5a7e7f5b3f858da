"""One value for each variable: of all that is known of a patient, what was observed nearest to the scan.

Beside what was observed within the window, what lasts counts however old it is. What the header of the scan says was
observed at the scan. Ages and offsets are stated, so that whoever reads a result can judge them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TypeVar

from dicomnode.clinical.matching import contradictions
from dicomnode.clinical.variables import VARIABLES
from dicomnode.records import (
    ContextSource,
    ContextText,
    ContextValue,
    Observation,
    Patient,
    PatientContext,
    ReportSection,
)

HOUR_S = 3600.0
GCS_PARTS = ("gcs_eye", "gcs_verbal", "gcs_motor")

Known = TypeVar("Known", Observation, ReportSection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The scan that a context is for.

    Attributes
    ----------
    patient : as the header states it.
    at : of the acquisition, seconds since the epoch; None where the header does not tell.
    zone : in which times are shown.
    before_s, after_s : how long before and after the scan an observation counts.
    """

    patient: Patient
    at: float | None
    zone: tzinfo
    before_s: float
    after_s: float

    def offset_s(self, moment: float | None) -> float | None:
        """From the scan to a moment; negative before it."""
        return None if moment is None or self.at is None else moment - self.at

    def shown(self, moment: float | None) -> str:
        """A moment as results show it; empty where it is not known."""
        return "" if moment is None else datetime.fromtimestamp(moment, self.zone).isoformat(timespec="minutes")


def merged(
    header: PatientContext, observations: Sequence[Observation], texts: Sequence[ReportSection], scan: Scan
) -> PatientContext:
    """The context of a scan.

    Parameters
    ----------
    header : what the images themselves tell.
    observations, texts : what is known under the patient's ID; those that contradict birth date or sex do not count.
    """
    chosen = {one.name: _value(one, scan) for one in nearest(observations, scan)}
    values = {**chosen, **{value.name: value for value in header.values}}
    values = {**_derived(values, scan), **values}
    sections = {one.section: _text(one, scan) for one in nearest(texts, scan)}
    ordered = sorted(values.values(), key=lambda value: list(VARIABLES).index(value.name))
    return PatientContext(values=tuple(ordered), texts=tuple(sections[name] for name in sorted(sections)))


def refusals(known: Iterable[Observation | ReportSection], patient: Patient) -> dict[str, int]:
    """How many of what is known contradict the patient, by what contradicts."""
    found: dict[str, int] = {}
    for one in known:
        for what in contradictions(patient, one.patient):
            found[what] = found.get(what, 0) + 1
    return found


def nearest(known: Iterable[Known], scan: Scan) -> list[Known]:
    """The one of each name that is used: nearest in time, then the one that arrived last."""
    best: dict[str, Known] = {}
    usable = (one for one in known if not contradictions(scan.patient, one.patient) and counts(one, scan))
    for one in sorted(usable, key=lambda one: (-_distance(one, scan), one.arrived_at)):
        best[_name(one)] = one
    return list(best.values())


def _name(one: Observation | ReportSection) -> str:
    return one.name if isinstance(one, Observation) else one.section


def observed_at(one: Observation | ReportSection) -> float | None:
    """When it was observed or written."""
    return one.observed_at if isinstance(one, Observation) else one.written_at


def counts(one: Observation | ReportSection, scan: Scan) -> bool:
    """Whether it was observed near enough to the scan, or lasts until then."""
    if isinstance(one, Observation) and one.name not in VARIABLES:
        return False  # stored by another version
    moment = observed_at(one)
    if moment is None:
        # only what lasts, or what came with the images, is taken without a time
        return True
    offset_s = scan.offset_s(moment)
    if not isinstance(one, Observation):
        return offset_s is not None and -scan.before_s <= offset_s <= scan.after_s
    variable = VARIABLES[one.name]
    if offset_s is None:
        return variable.lasts
    if variable.is_earlier and offset_s >= 0.0:
        return False
    before_s = max(scan.before_s, variable.lasts_h * HOUR_S)
    return offset_s <= scan.after_s and (variable.lasts or offset_s >= -before_s)


def _distance(one: Observation | ReportSection, scan: Scan) -> float:
    """How far from the scan; what has no time is farther than all that has."""
    offset_s = scan.offset_s(observed_at(one))
    return float("inf") if offset_s is None else abs(offset_s)


def _value(one: Observation, scan: Scan) -> ContextValue:
    return ContextValue(
        name=one.name,
        value=one.value,
        unit=one.unit,
        source=one.source,
        observed_at=scan.shown(one.observed_at),
        offset_s=scan.offset_s(one.observed_at),
    )


def _text(one: ReportSection, scan: Scan) -> ContextText:
    return ContextText(
        section=one.section,
        text=one.text,
        source=one.source,
        written_at=scan.shown(one.written_at),
        offset_s=scan.offset_s(one.written_at),
    )


def _derived(values: dict[str, ContextValue], scan: Scan) -> dict[str, ContextValue]:
    """What follows from others, where nobody states it: the sum of a scale, the hours from onset to the scan."""
    return {value.name: value for value in (*_gcs(values), *_onset_to_ct(values, scan))}


def _gcs(values: dict[str, ContextValue]) -> Iterator[ContextValue]:
    parts = [values[name] for name in GCS_PARTS if name in values]
    # of one examination only: parts of two do not make a sum
    if len(parts) == len(GCS_PARTS) and len({(part.observed_at, part.source) for part in parts}) == 1:
        total = sum(float(part.value) for part in parts)
        yield ContextValue(
            name="gcs",
            value=total,
            unit=parts[0].unit,
            source=parts[0].source,
            observed_at=parts[0].observed_at,
            offset_s=parts[0].offset_s,
        )


def _onset_to_ct(values: dict[str, ContextValue], scan: Scan) -> Iterator[ContextValue]:
    onset = values.get("onset_at")
    if onset is None or scan.at is None:
        return
    hours = (scan.at - datetime.fromisoformat(str(onset.value)).timestamp()) / HOUR_S
    low, high = VARIABLES["onset_to_ct"].plausible
    if low <= hours <= high:
        yield ContextValue(
            name="onset_to_ct",
            value=round(hours, 4),
            unit="h",
            source=ContextSource(onset.source),
            observed_at=onset.observed_at,
            offset_s=onset.offset_s,
        )

"""Times of FHIR R4: a dateTime may be a year alone; a value needs the minute, what lasts a day."""

from __future__ import annotations

import calendar
import re
from datetime import datetime
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.fhir.shapes import Json, is_stated, part, words
from dicomnode.clinical.values import read_moment, refused
from dicomnode.errors import ContextRefusal

_DAY = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


def observed_at(resource: Json, zone: ZoneInfo, *, lasts: bool) -> float | None:
    """When an Observation or a DiagnosticReport is about, seconds since the epoch; of a period its end.

    Parameters
    ----------
    lasts : it stays as it is for days: then a day will do, and so will nothing.

    Raises
    ------
    ContextError : there is no time, or no time of day.
    """
    period = part(resource, "effectivePeriod")
    stated = (
        words(resource, "effectiveDateTime")
        or words(resource, "effectiveInstant")
        or words(period, "end")
        or words(period, "start")
    )
    return _moment(stated, zone, lasts=lasts)


def began_at(resource: Json, zone: ZoneInfo) -> float | None:
    """When a Condition began, or was written down: the last moment that it may have been; None where nobody says.

    Raises
    ------
    ContextError : what is stated is no time.
    """
    onset = words(resource, "onsetDateTime") or words(part(resource, "onsetPeriod"), "start")
    stated = onset or words(resource, "recordedDate")
    if not stated:
        return None
    return _end_of(stated, zone) if _DAY.fullmatch(stated) else read_moment(stated, zone)


def written_at(resource: Json, zone: ZoneInfo) -> float | None:
    """When a report was issued, else what it is about.

    Raises
    ------
    ContextError : there is no time of day.
    """
    return (
        read_moment(words(resource, "issued"), zone)
        if is_stated(resource, "issued")
        else observed_at(resource, zone, lasts=False)
    )


def _moment(stated: str, zone: ZoneInfo, *, lasts: bool) -> float | None:
    if not lasts:
        if not stated or _DAY.fullmatch(stated):
            raise refused(ContextRefusal.NO_TIME)
        return read_moment(stated, zone)
    if not stated:
        return None
    return _end_of(stated, zone) if _DAY.fullmatch(stated) else read_moment(stated, zone)


def _end_of(stated: str, zone: ZoneInfo) -> float:
    """The last second of a year, a month or a day."""
    year, month, day = (int(number) if number else 0 for number in _DAY.fullmatch(stated).groups())  # type: ignore[union-attr]
    try:
        month = month or 12
        day = day or calendar.monthrange(year, month)[1]
        return datetime(year, month, day, 23, 59, 59, tzinfo=zone).timestamp()
    except (ValueError, OverflowError, calendar.IllegalMonthError) as fault:
        raise refused(ContextRefusal.NOT_A_TIME) from fault

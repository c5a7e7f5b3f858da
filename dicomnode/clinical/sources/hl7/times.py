"""Moments of HL7 v2: ``YYYYMMDDHHMM[SS[.S]][+ZZZZ]`` (v2.5 chapter 2A, DTM)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

from dicomnode.clinical.values import refused
from dicomnode.errors import ContextRefusal

_MOMENT = re.compile(r"(\d{8})(\d{4})?(\d{2})?(?:\.\d{1,6})?([+-]\d{4})?", re.ASCII)
_DATE = re.compile(r"\d{8}(?:\d{2,6}(?:\.\d+)?)?(?:[+-]\d{4})?", re.ASCII)
_LESS_THAN_A_DATE = re.compile(r"\d{4}(?:\d{2})?", re.ASCII)


def moment_of(text: str, zone: tzinfo) -> float | None:
    """Seconds since the epoch; None where nothing is stated.

    Parameters
    ----------
    zone : of a moment that states no offset.

    Raises
    ------
    ContextError : it is no moment, or is not told to the minute.
    """
    if not text:
        return None
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise refused(ContextRefusal.NOT_A_TIME)
    day, clock, seconds, offset = found.groups()
    if clock is None:
        raise refused(ContextRefusal.NO_TIME)
    try:
        moment = datetime.strptime(f"{day}{clock}{seconds or '00'}", "%Y%m%d%H%M%S")
        return moment.replace(tzinfo=_fixed(offset) or zone).timestamp()
    except (ValueError, OverflowError) as fault:
        raise refused(ContextRefusal.NOT_A_TIME) from fault


def iso(text: str, zone: tzinfo) -> str:
    """A moment as ISO 8601 in UTC.

    Raises
    ------
    ContextError : as :func:`moment_of`, or there is none.
    """
    moment = moment_of(text, zone)
    if moment is None:
        raise refused(ContextRefusal.MISSING_FIELD)
    return datetime.fromtimestamp(moment, UTC).isoformat()


def zone_in(text: str, zone: tzinfo) -> tzinfo:
    """The offset that a moment states: that of MSH-7 is the message's; ``zone`` where it states none."""
    found = _MOMENT.fullmatch(text)
    return (_fixed(found[4]) if found else None) or zone


def _fixed(offset: str | None) -> timezone | None:
    if not offset:
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    if int(offset[3:]) > 59 or minutes > 14 * 60:
        raise refused(ContextRefusal.NOT_A_TIME)
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def date_of(text: str) -> date | None:
    """A day; None where nothing is stated, or less than a day.

    Raises
    ------
    ContextError : it is no date.
    """
    if not text or _LESS_THAN_A_DATE.fullmatch(text):
        return None
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return datetime.strptime(text[:8], "%Y%m%d").date()
    except ValueError as fault:
        raise refused(ContextRefusal.NOT_A_TIME) from fault

"""When something of a study happened: the times of a header, in the zone that it states (DICOM PS3.3 C.12.1.1.8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from dicomnode.dicom.values import text_of

_OFFSET = re.compile(r"[+-](?:0[0-9]|1[0-4])[0-5][0-9]")
"""From -1200 to +1400; an offset beyond is none."""
_DATE_TIME = re.compile(r"(\d{8})(\d{2})(\d{2})(\d{2})?(?:\.\d{1,6})?([+-]\d{4})?")
_SCAN_TIMES = ("Acquisition", "Content", "Series", "Study")
"""Of whom date and time are taken, the nearest to the scan first."""


def zone_of(header: Dataset, name: str) -> timezone | ZoneInfo:
    """The zone of the times in a header, and of all times in a result.

    TimezoneOffsetFromUTC governs StudyTime too, which is copied: an offset stated by the source must be kept.

    Parameters
    ----------
    name : IANA name of the zone where the header states no offset.

    Raises
    ------
    ZoneInfoNotFoundError : the zone is unknown.
    """
    return _fixed(text_of(header, "TimezoneOffsetFromUTC")) or ZoneInfo(name)


def scanned_at(header: Dataset, zone: str) -> float | None:
    """When an image was acquired, seconds since the epoch; None where the header tells no time of day.

    Parameters
    ----------
    zone : IANA name, for a header that states no offset.

    Raises
    ------
    ZoneInfoNotFoundError : the zone is unknown.
    """
    moments = (moment_of(text, header, zone) for text in _stated(header))
    return next((moment for moment in moments if moment is not None), None)


def _stated(header: Dataset) -> Iterator[str]:
    yield text_of(header, "AcquisitionDateTime")
    for whose in _SCAN_TIMES:
        date, time = text_of(header, f"{whose}Date"), text_of(header, f"{whose}Time")
        # ACR-NEMA wrote dates with dots and times with colons; some archives still do.
        yield date.replace(".", "") + time.replace(":", "") if date and time else ""


def written_at(header: Dataset, zone: str) -> float | None:
    """When a document was written, seconds since the epoch; None where it tells no time of day.

    Raises
    ------
    ZoneInfoNotFoundError : the zone is unknown.
    """
    return moment_of(text_of(header, "ContentDate") + text_of(header, "ContentTime"), header, zone)


def moment_of(text: str, header: Dataset, zone: str) -> float | None:
    """Seconds since the epoch of a DT value (PS3.5 6.2); None where it is none, or tells no time of day.

    Parameters
    ----------
    header : of whose zone it is where it states no offset itself.

    Raises
    ------
    ZoneInfoNotFoundError : the zone is unknown.
    """
    found = _DATE_TIME.match(text)
    if found is None:
        return None
    day, hour, minute, second, offset = found.groups()
    try:
        # A leap second is legal in TM (PS3.5 6.2) but not in Python.
        local = datetime.strptime(f"{day}{hour}{minute}{min(int(second or 0), 59):02}", "%Y%m%d%H%M%S")
        return local.replace(tzinfo=_fixed(offset or "") or zone_of(header, zone)).timestamp()
    except (ValueError, OverflowError):
        return None


def _fixed(stated: str) -> timezone | None:
    if not _OFFSET.fullmatch(stated):
        return None
    offset = timedelta(hours=int(stated[1:3]), minutes=int(stated[3:]))
    return timezone(-offset if stated[0] == "-" else offset)

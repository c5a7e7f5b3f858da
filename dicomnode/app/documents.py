"""JSON for programs: every ``--json`` ends here. ``docs/json.md`` says what stands in each document.

A document is one object with ``schema_version``. A moment is ISO 8601 with the offset of the node's zone; nothing is
cut to the width of a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

SCHEMA_VERSION = 1
"""Raised when a field goes, is renamed or means something else; not when one is added."""


def print_document(content: Mapping[str, Any], *, timezone: str = "UTC") -> None:
    """One JSON document on standard output.

    Parameters
    ----------
    content : records, plain values, and sequences and mappings of them; seconds since the epoch, UTC, under keys named
        ``at`` or ``*_at``.
    timezone : IANA name of the zone whose offset the moments are given with.
    """
    whole = {"schema_version": SCHEMA_VERSION, **_plain(content, ZoneInfo(timezone))}
    print(json.dumps(whole, indent=2, ensure_ascii=False, default=str))


def moment(at: float, timezone: str = "UTC") -> str:
    """Seconds since the epoch as ISO 8601 to the millisecond, with the offset of a zone.

    >>> moment(1767225600.25, "Europe/Berlin")
    '2026-01-01T01:00:00.250+01:00'
    """
    return datetime.fromtimestamp(at, ZoneInfo(timezone)).isoformat(timespec="milliseconds")


def is_moment(key: str, value: object) -> bool:
    """Whether a value is seconds since the epoch, by the name of its key."""
    return (key == "at" or key.endswith("_at")) and isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Any, zone: ZoneInfo) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _field(str(key), inner, zone) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(inner, zone) for inner in value]
    return value


def _field(key: str, value: Any, zone: ZoneInfo) -> Any:
    if is_moment(key, value):
        return moment(value, zone.key) if value > 0 else None  # 0: never
    return _plain(value, zone)

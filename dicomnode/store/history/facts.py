"""What an event tells, as a person writes it: for the command line and the status page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fact(value: Any) -> str:
    """A value of an event's detail, lists and tables too.

    >>> fact(["gcs", "age"]), fact({"pacs": "query"}), fact(3), fact({}), fact(True)
    ('gcs, age', 'pacs query', '3', '', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {fact(inner)}" for key, inner in value.items())
    return ", ".join(map(fact, value)) if isinstance(value, (list, tuple)) else str(value)


def told(detail: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a detail that say something; 0 and False do.

    >>> told({"count": 0, "reason": "", "gaps": [], "note": None})
    {'count': 0}
    """
    return {key: value for key, value in detail.items() if value is not None and value not in ("", [], {})}

"""Faults of a configuration as sentences that name the line."""

from __future__ import annotations

import re
from typing import Any

from dicomnode.config.destinations import Destination, WebDestination

Location = tuple[str | int, ...]

_TAGS = {"pattern", "values", "range", "[key]", "dimse", "dicomweb"}
"""What pydantic puts into a location to say which member of a union it speaks of."""


def sentence(locate: Locator, item: Any) -> str:
    """One fault that pydantic found, with its line."""
    where: Location = tuple(part for part in item["loc"] if part not in _TAGS)
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = _unknown(item["loc"])
    elif item["type"] == "missing":
        message = "missing"
    return f"{locate(where)}: {message}"


def _unknown(loc: Location) -> str:
    key = loc[-1]
    if loc[-2:-1] == ("dicomweb",) and key in Destination.model_fields:
        return "unknown key: this destination has a url, which says where it is"
    if loc[-2:-1] == ("dimse",) and key in WebDestination.model_fields:
        return "unknown key: only a DICOMweb destination, one with a url, has it"
    return "unknown key"


class Locator:
    """Turns a key path into ``file line N: [section] key``; tomllib itself keeps no positions."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        self.lines = text.splitlines()

    def __call__(self, where: Location) -> str:
        line = self._line(where)
        key = ".".join(f"[{part}]" if isinstance(part, int) else part for part in where).replace(".[", "[")
        return f"{self.source}{f' line {line}' if line else ''}: {key}"

    def _line(self, where: Location) -> int | None:
        if not where:
            return None
        start = self._section_line(str(where[0]), where[1] if len(where) > 1 and isinstance(where[1], int) else 0)
        keys = [part for part in where[1:] if isinstance(part, str)]
        if start is None or not keys:
            return start
        for number in range(start, len(self.lines)):
            if self.lines[number].lstrip().startswith("["):
                break
            if re.match(rf"\s*[\"']?{re.escape(keys[0])}[\"']?\s*[=.]", self.lines[number]):
                return number + 1
        return start

    def _section_line(self, section: str, index: int) -> int | None:
        heads = [
            n for n, line in enumerate(self.lines, 1) if re.match(rf"\s*\[\[?\s*{re.escape(section)}\s*\]\]?", line)
        ]
        return heads[min(index, len(heads) - 1)] if heads else None

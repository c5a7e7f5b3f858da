"""Faults of a configuration as sentences that name the line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from dicomnode.config.destinations import Destination, WebDestination
from dicomnode.config.known import did_you_mean
from dicomnode.config.protocols import Range
from dicomnode.config.sections import Section
from dicomnode.config.whole import Config

Location = tuple[str | int, ...]

_TAGS = {"pattern", "values", "range", "[key]", "dimse", "dicomweb"}
"""What pydantic puts into a location to say which member of a union it speaks of."""

_TAGGED: Mapping[str, type[Section]] = {"dimse": Destination, "dicomweb": WebDestination, "range": Range}


def sentence(locate: Locator, item: Any) -> str:
    """One fault that pydantic found, with its line."""
    where: Location = tuple(part for part in item["loc"] if part not in _TAGS)
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = _unknown(item["loc"])
    elif item["type"] == "missing":
        message = "missing"
    elif item["type"] in ("tuple_type", "model_type") and len(where) == 1:
        message = f"write it as [[{where[0]}]]" if item["type"] == "tuple_type" else f"write it as [{where[0]}], once"
    elif item["type"] == "string_pattern_mismatch":  # of Name, the only pattern here
        message = "letters, digits, '.', '_' and '-' alone"
    elif item["type"] in ("enum", "literal_error"):
        message += did_you_mean(str(item["input"]), re.findall("'([^']*)'", item["ctx"]["expected"]))
    return f"{locate(where)}: {message}"


def _unknown(loc: Location) -> str:
    key = str(loc[-1])
    if loc[-2:-1] == ("dicomweb",) and key in Destination.model_fields:
        return "unknown key: this destination has a url, which says where it is"
    if loc[-2:-1] == ("dimse",) and key in WebDestination.model_fields:
        return "unknown key: only a DICOMweb destination, one with a url, has it"
    return f"unknown {'key' if loc[:-1] else 'section'}{did_you_mean(key, _keys_beside(loc))}"


def _keys_beside(loc: Location) -> Iterator[str]:
    """The keys that are known where an unknown one stands."""
    model: type[Section] | None = Config
    for part in loc[:-1]:
        if part in _TAGGED:
            model = _TAGGED[str(part)]
        elif isinstance(part, str) and model is not None and part in model.model_fields:
            model = next(_sections_of(model.model_fields[part].annotation), None)
    return iter(model.model_fields if model is not None else ())


def _sections_of(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_of(inner)


class Locator:
    """Turns a key path into ``file line N: [section] key``; tomllib itself keeps no positions.

    Parameters
    ----------
    overridden : key paths whose value comes from an environment variable -> its name.
    """

    def __init__(self, source: str, text: str, overridden: Mapping[Location, str] | None = None) -> None:
        self.source = source
        self.lines = text.splitlines()
        self.overridden = overridden or {}

    def __call__(self, where: Location) -> str:
        key = ".".join(f"[{part}]" if isinstance(part, int) else part for part in where).replace(".[", "[")
        if variable := self.overridden.get(where[:2]):
            return f"environment {variable}: {key}"
        line = self._line(where)
        return f"{self.source}{f' line {line}' if line else ''}: {key}"

    def _line(self, where: Location) -> int | None:
        if not where:
            return None
        for depth in range(
            len(where) - 1, 1, -1
        ):  # a table of its own, such as [clinical.hl7], before a key of [clinical]
            if all(isinstance(part, str) for part in where[:depth]):
                start = self._section_line(".".join(map(str, where[:depth])), 0)
                if start is not None:
                    return self._key_line(start, where[depth:])
        start = self._section_line(str(where[0]), where[1] if len(where) > 1 and isinstance(where[1], int) else 0)
        return None if start is None else self._key_line(start, where[1:])

    def _key_line(self, start: int, where: Location) -> int:
        """The line of the first key in a table; that of the table where it has none."""
        keys = [part for part in where if isinstance(part, str)]
        for number in range(start, len(self.lines)) if keys else ():
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

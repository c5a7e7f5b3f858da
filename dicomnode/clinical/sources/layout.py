"""How a document about patients is laid out: JSON as it is, CSV with one line for each value or text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dicomnode.errors import ContextError, ContextRefusal

MAX_TEXT = 200_000
DELIMITERS = (";", "\t", ",")

Fault = tuple[str, ContextRefusal]


class Part(BaseModel):
    """A table of the document: unknown fields are faults, and texts are texts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        for value in self.__dict__.values():
            if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
                raise ValueError("a character that no database takes")
        return self


class PatientPart(Part):
    """Whose the values are."""

    id: str = ""
    issuer: str = ""
    birth_date: str = ""
    sex: str = ""


class ValuePart(Part):
    """One value; ``name`` or ``loinc`` says of what."""

    name: str = ""
    loinc: str = ""
    value: bool | int | float | str
    unit: str = ""
    observed_at: str = ""


class TextPart(Part):
    """One section of a report."""

    section: str
    text: str = Field(max_length=MAX_TEXT)
    author: str = ""
    written_at: str = ""


class PatientPage(Part):
    """All that a document, or a line of it, tells of one patient."""

    patient: PatientPart = PatientPart()
    values: list[ValuePart] = []
    texts: list[TextPart] = []


Page = tuple[str, PatientPage]
"""Where in the document it stands, and what it says."""


def pages_of(text: str, faults: list[Fault]) -> Iterator[Page]:
    """What a document tells, patient by patient.

    Parameters
    ----------
    faults : gets what is wrong with single parts.

    Raises
    ------
    ContextError : it is neither JSON nor CSV, or has a column that the format does not have.
    """
    raw = _of_json(text) if text.lstrip()[:1] in ("{", "[") else _of_csv(text)
    for where, part in raw:
        try:
            yield where, PatientPage.model_validate(part)
        except ValidationError as error:
            faults += [(within(where, _path(item["loc"])), _why(item["type"])) for item in error.errors()]


def within(where: str, place: str) -> str:
    """The name of a place: a line of a CSV has no places of its own.

    >>> within("", "values[2]"), within("[1]", "patient.id"), within("line 3", "values[0]")
    ('values[2]', '[1].patient.id', 'line 3')
    """
    if where.startswith("line"):
        return where
    return f"{where}.{place}" if where else place


def _of_json(text: str) -> Iterator[tuple[str, Any]]:
    """One page, or a list of them."""
    try:
        raw = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise ContextError([("", ContextRefusal.NOT_READABLE)]) from fault
    if isinstance(raw, list):
        yield from ((f"[{place}]", item) for place, item in enumerate(raw))
    else:
        yield "", raw


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


_PATIENT_COLUMNS = {"patient_id": "id", "issuer": "issuer", "birth_date": "birth_date", "sex": "sex"}
_VALUE_COLUMNS = ("name", "loinc", "value", "unit", "observed_at")
_TEXT_COLUMNS = ("section", "text", "author", "written_at")
_COLUMNS = frozenset({*_PATIENT_COLUMNS, *_VALUE_COLUMNS, *_TEXT_COLUMNS})


def _of_csv(text: str) -> Iterator[tuple[str, Any]]:
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as fault:
        raise ContextError([("", ContextRefusal.NOT_READABLE)]) from fault
    names = [name.strip() for name in lines[0]] if lines else []
    if not set(names) & {"value", "text"}:
        raise ContextError([("", ContextRefusal.NOT_READABLE)])
    if not set(names) <= _COLUMNS or len(set(names)) < len(names):
        raise ContextError([("line 1", ContextRefusal.UNKNOWN_FIELD)])
    for number, cells in enumerate(lines[1:], start=2):
        if any(cell.strip() for cell in cells):
            yield f"line {number}", _row(names, cells)


def _row(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """A line as a page of its own; more cells than columns are an unknown field."""
    row = {name: cell for name, cell in zip(names, cells, strict=False) if cell.strip()}
    page: dict[str, Any] = {"patient": {key: row[name] for name, key in _PATIENT_COLUMNS.items() if name in row}}
    if len(cells) > len(names):
        page["cells"] = ""
    if {"section", "text"} & set(row):
        moment = row.get("written_at", row.get("observed_at", ""))
        page["texts"] = [{**{name: row[name] for name in _TEXT_COLUMNS[:3] if name in row}, "written_at": moment}]
    if {"name", "loinc", "value"} & set(row):
        page["values"] = [{name: row[name] for name in _VALUE_COLUMNS if name in row}]
    return page


_UNION = frozenset({"bool", "int", "float", "str"})
"""What pydantic puts into a place to say which type of a value it tried."""


def _path(loc: Sequence[str | int]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part not in _UNION)
    return "".join(parts).removeprefix(".")


def _why(kind: str) -> ContextRefusal:
    if kind == "missing":
        return ContextRefusal.MISSING_FIELD
    if kind == "value_error":
        return ContextRefusal.NOT_READABLE
    return ContextRefusal.TOO_LARGE if kind == "string_too_long" else ContextRefusal.UNKNOWN_FIELD

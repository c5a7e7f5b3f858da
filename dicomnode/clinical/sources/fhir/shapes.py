"""Careful looks into JSON of others: what has another shape than FHIR R4 gives it is not there.

Why no library of models: ``docs/decisions/032-fhir-is-read-as-plain-json.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
"""A JSON object."""

MAX_SHORT = 1024
"""Characters of what is no text for people; longer ones are none of those that are looked for."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def part(of: Json, key: str) -> Json:
    """An object; empty where there is none."""
    found = of.get(key)
    return found if isinstance(found, dict) else {}


def parts(of: Json, key: str) -> list[Json]:
    """The objects of a list."""
    found = of.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def words(of: Json, key: str, most: int = MAX_SHORT) -> str:
    """A string without blanks around it; empty where there is none."""
    found = of.get(key)
    return found.strip() if isinstance(found, str) and len(found) <= most else ""


def is_stated(of: Json, key: str) -> bool:
    """Whether an element is there, whatever its shape."""
    return of.get(key) is not None


def resource_id(resource: Json) -> str:
    """``Observation/17``; empty where it has no legal id (FHIR R4 2.24.0.1)."""
    found = words(resource, "id")
    return f"{words(resource, 'resourceType')}/{found}" if _ID.fullmatch(found) else ""


def codings(concept: Json) -> Iterator[tuple[str, str, Json]]:
    """System, code and the rest of every coding of a CodeableConcept."""
    for coding in parts(concept, "coding"):
        system, code = words(coding, "system"), words(coding, "code")
        if code:
            yield system, code, coding


def codes_of(concept: Json) -> set[str]:
    """The codes of a CodeableConcept, whatever their system: of value sets that are small and bound."""
    return {code for _, code, _ in codings(concept)}


def extension(element: Json, *urls: str) -> Json:
    """The first extension with one of these URLs; empty where there is none."""
    return next((one for one in parts(element, "extension") if words(one, "url") in urls), {})


def is_about(resource: Json, patient: str, identifier: tuple[str, str]) -> bool:
    """Whether its subject is the patient: by reference, or, where there is none, by the identifier.

    Parameters
    ----------
    patient : ``Patient/17``.
    identifier : system and value.
    """
    subject = part(resource, "subject") or part(resource, "patient")
    reference = words(subject, "reference").partition("/_history/")[0]
    if reference:
        return reference == patient or ("://" in reference and reference.endswith(f"/{patient}"))
    stated = part(subject, "identifier")
    return (words(stated, "system"), words(stated, "value")) == identifier

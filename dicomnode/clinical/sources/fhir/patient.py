"""Is a Patient resource the one that was asked for, and the one of the images?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dicomnode.clinical.matching import contradictions
from dicomnode.clinical.sources.fhir.shapes import Json, parts, resource_id, words
from dicomnode.clinical.values import read_birth_date, read_sex
from dicomnode.errors import ContextError, FhirError, FhirOutcome
from dicomnode.records import Patient


@dataclass(frozen=True, slots=True)
class Found:
    """The patient at the server. ``reference``: ``Patient/17``; ``patient``: as images call it, born as it says."""

    reference: str
    patient: Patient


def the_one(resources: Iterable[Json], identifier: tuple[str, str], images: Patient) -> Found:
    """The one patient with an identifier.

    Servers pass over search parameters that they do not know: what they return must carry what was asked for.

    Parameters
    ----------
    identifier : system and value that were asked for.
    images : the patient as the images state it.

    Raises
    ------
    FhirError : there is none or several, one that is not it, or one that contradicts the images.
    """
    returned = list(resources)
    carrying = {resource_id(one): one for one in returned if _carries(one, identifier)}
    active = {key: one for key, one in carrying.items() if key and one.get("active") is not False}
    if not active:
        raise FhirError(FhirOutcome.WRONG_PATIENT if returned and not carrying else FhirOutcome.NO_PATIENT)
    if len(active) > 1:
        raise FhirError(FhirOutcome.TWO_PATIENTS)
    ((reference, resource),) = active.items()
    return Found(reference, _agreeing(resource, images))


def _carries(resource: Json, identifier: tuple[str, str]) -> bool:
    # an old identifier may have been given to somebody else
    stated = (one for one in parts(resource, "identifier") if words(one, "use") != "old")
    return any((words(one, "system"), words(one, "value")) == identifier for one in stated)


def _agreeing(resource: Json, images: Patient) -> Patient:
    stated = words(resource, "birthDate")
    try:
        # a year alone, or with its month, is legal
        birth_date = read_birth_date(stated) if len(stated) > len("1944-05") else ""
        patient = replace(images, birth_date=birth_date, sex=read_sex(words(resource, "gender")))
    except ContextError as fault:
        raise FhirError(FhirOutcome.BAD_ANSWER, "birthDate or gender") from fault
    in_part = stated.replace("-", "") if not birth_date else ""
    if contradictions(images, patient) or not images.birth_date.startswith(in_part if images.birth_date else ""):
        raise FhirError(FhirOutcome.CONTRADICTS)
    return patient

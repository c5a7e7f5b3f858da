"""Whose a message is: PID, and MRG of a merge (HL7 v2.5 chapter 3, 3.4.2 and 3.4.9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dicomnode.clinical.matching import with_issuer
from dicomnode.clinical.sources.document import MAX_ID
from dicomnode.clinical.sources.hl7.message import NULL, Segment
from dicomnode.clinical.sources.hl7.times import date_of
from dicomnode.clinical.values import read_sex
from dicomnode.errors import ContextError, MessageRefusal, MessageRefused
from dicomnode.records import Patient

PID_3, MRG_1 = 3, 1
_TYPES = ("MR", "PI", "PT", "")
"""Of identifiers that a hospital gives its patients (table 0203), the best first."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """A CX: who gave it may be told by name and by a universal ID."""

    number: str
    authority: str
    universal: str
    kind: str


def patient_of(pid: Segment, issuer: str) -> Patient:
    """Whose a message is.

    Parameters
    ----------
    issuer : of identifiers that name nobody; where several are given, it is the one whose identifier is taken.

    Raises
    ------
    MessageRefused : no identifier that can be used, or a birth date or sex that is none.
    """
    patient_id, of = key_of(pid, PID_3, issuer)
    born, sex = pid.text(7), pid.text(8)
    try:
        day = date_of("" if born == NULL else born)
        stated = read_sex("" if sex == NULL else sex)
    except ContextError as fault:
        raise MessageRefused(MessageRefusal.ODD_PATIENT, "PID-7") from fault
    birth_date = "" if day is None else day.strftime("%Y%m%d")
    return Patient(patient_id=patient_id, issuer=of, birth_date=birth_date, sex=stated)


def key_of(segment: Segment, field: int, issuer: str) -> tuple[str, str]:
    """The identifier that is used, and its issuer.

    That of the configured issuer; else the first of the best type; never one of another type.

    Raises
    ------
    MessageRefused : there is none.
    """
    found = [one for one in _identifiers(segment, field) if 0 < len(one.number) <= MAX_ID]
    own = [one for one in found if issuer and issuer in (one.authority, one.universal)]
    # of what the issuer gives, its numbers of cases and insurances are none of patients either
    best = _best(own) or _best(found)
    if best is None:
        raise MessageRefused(MessageRefusal.NO_PATIENT, f"{segment.name}-{field}")
    of = issuer if best in own else best.authority or best.universal
    patient = with_issuer(Patient(patient_id=best.number, issuer=of[:MAX_ID]), issuer)
    return patient.patient_id, patient.issuer


def _best(identifiers: list[Identifier]) -> Identifier | None:
    usable = [one for one in identifiers if one.kind in _TYPES]
    return min(usable, key=lambda one: _TYPES.index(one.kind), default=None)


def _identifiers(segment: Segment, field: int) -> Iterator[Identifier]:
    for repetition in segment.repetitions(field):
        number = segment.text(field, repetition=repetition)
        if number != NULL:
            yield Identifier(
                number=number,
                authority=segment.text(field, 4, repetition=repetition),
                universal=segment.text(field, 4, repetition=repetition, subcomponent=2),
                kind=segment.text(field, 5, repetition=repetition).upper(),
            )

"""Is a value about the patient of a scan? The same ID of the same issuer, and nothing that contradicts.

The same number may be given twice, and a message may carry the wrong one: another birth date or sex refuses the match.
What is not stated contradicts nothing.
"""

from __future__ import annotations

from dataclasses import replace

from dicomnode.dicom.identity import stated_date
from dicomnode.records import Patient

_SEXES = frozenset({"M", "F"})


def contradictions(one: Patient, other: Patient) -> tuple[str, ...]:
    """``birth_date`` and ``sex``, where both state it and it is not the same."""
    dates = {stated_date(one.birth_date), stated_date(other.birth_date)} - {""}
    sexes = {one.sex, other.sex} & _SEXES
    return tuple(name for name, stated in (("birth_date", dates), ("sex", sexes)) if len(stated) > 1)


def with_issuer(patient: Patient, issuer: str) -> Patient:
    """The patient, with the issuer that stands for none; nobody issues an ID that is not there."""
    return replace(patient, issuer=patient.issuer or (issuer if patient.patient_id else ""))


def same_patient(one: Patient, other: Patient) -> bool:
    """Whether both have the same ID by the same issuer, and do not contradict each other; without an ID: False."""
    same_id = one.patient_id == other.patient_id != "" and one.issuer == other.issuer
    return same_id and not contradictions(one, other)

"""Whose a study is, and which IDs are one patient after merges (HL7 ADT^A40)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, select, tuple_
from sqlalchemy.orm import Session

from dicomnode.records import Patient
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.tables import FhirQuestion, MergedPatient, OfPatient, Series, StudyPatient

PatientKey = tuple[str, str]
"""Patient ID and issuer."""


@dataclass(frozen=True, slots=True)
class KnownStudy:
    """A study whose patient is known. ``scanned_at``: seconds since the epoch; None where the images do not tell."""

    study_uid: str
    patient: Patient
    scanned_at: float | None


def key_of(patient: Patient) -> PatientKey:
    """What the rows of a patient are found by."""
    return patient.patient_id, patient.issuer


def columns_of(patient: Patient) -> dict[str, str]:
    """The columns of :class:`~dicomnode.store.tables.OfPatient`, as long as they may be."""
    return {
        "patient_id": patient.patient_id[:64],
        "issuer": patient.issuer[:64],
        "birth_date": patient.birth_date[:8],
        "sex": patient.sex[:1],
    }


def record_study(session: Session, study_uid: str, patient: Patient, scanned_at: float | None) -> None:
    """Remember whose study it is; what the newest images say takes the place of what earlier ones said."""
    now = time.time()
    stated = {**columns_of(patient), "scanned_at": scanned_at, "seen_at": now, "checked_at": now}
    if not insert_if_absent(session, StudyPatient, study_uid=study_uid, **stated):
        row = session.scalars(select(StudyPatient).where(StudyPatient.study_uid == study_uid)).one()
        for name, value in stated.items():
            setattr(row, name, value)


def studies_of(session: Session, identifier: str) -> list[KnownStudy]:
    """Studies by accession number, study UID or patient ID, the newest scan first."""
    by_accession = select(Series.study_uid).where(Series.accession_number == identifier, Series.accession_number != "")
    statement = select(StudyPatient).where(
        (StudyPatient.study_uid == identifier)
        | (StudyPatient.patient_id == identifier)
        | StudyPatient.study_uid.in_(by_accession)
    )
    rows = session.scalars(statement.order_by(StudyPatient.scanned_at.desc(), StudyPatient.id.desc()))
    read = [KnownStudy(row.study_uid, patient_of(row), row.scanned_at) for row in rows]
    return read or _asked_about(session, identifier, by_accession)


def _asked_about(session: Session, identifier: str, by_accession: Select[Any]) -> list[KnownStudy]:
    """Studies of which no images were read yet, but whose patient a FHIR server was asked about."""
    statement = select(FhirQuestion).where(
        (FhirQuestion.study_uid == identifier)
        | (FhirQuestion.patient_id == identifier)
        | FhirQuestion.study_uid.in_(by_accession)
    )
    rows = session.scalars(statement.order_by(FhirQuestion.id.desc()))
    return [KnownStudy(row.study_uid, patient_of(row), row.scanned_at) for row in rows]


def patient_of(row: OfPatient) -> Patient:
    """Whose a row is."""
    return Patient(patient_id=row.patient_id, issuer=row.issuer, birth_date=row.birth_date, sex=row.sex)


def merge_patients(session: Session, prior: PatientKey, survivor: PatientKey) -> None:
    """From now on what is known under ``prior`` is about ``survivor``; the last merge of an ID counts.

    An ID that survives is not merged into another any more: a circle would leave nobody.
    """
    if prior == survivor:
        return
    gone = (MergedPatient.patient_id, MergedPatient.issuer)
    session.execute(delete(MergedPatient).where(tuple_(*gone).in_([prior, survivor])))
    insert_if_absent(
        session,
        MergedPatient,
        patient_id=prior[0],
        issuer=prior[1],
        survivor_id=survivor[0],
        survivor_issuer=survivor[1],
        merged_at=time.time(),
    )


def all_keys(session: Session, patient: Patient) -> list[PatientKey]:
    """Every ID under which something about this patient may stand: that of the survivor, and all merged into it."""
    survivor = survivor_of(session, key_of(patient))
    keys, unseen = [survivor], [survivor]
    while unseen:
        survivor_id, survivor_issuer = unseen.pop()
        of = (MergedPatient.survivor_id == survivor_id, MergedPatient.survivor_issuer == survivor_issuer)
        rows = session.execute(select(MergedPatient.patient_id, MergedPatient.issuer).where(*of)).all()
        found = [(row.patient_id, row.issuer) for row in rows if (row.patient_id, row.issuer) not in keys]
        keys += found
        unseen += found
    return keys


def survivor_of(session: Session, key: PatientKey) -> PatientKey:
    """The ID that this one was merged into in the end; a chain that runs in a circle ends where it began to."""
    seen = {key}
    while True:
        found = _merged_into(session, key)
        if found is None or found in seen:
            return key
        seen.add(found)
        key = found


def _merged_into(session: Session, key: PatientKey) -> PatientKey | None:
    of = (MergedPatient.patient_id == key[0], MergedPatient.issuer == key[1])
    row = session.execute(select(MergedPatient.survivor_id, MergedPatient.survivor_issuer).where(*of)).first()
    return None if row is None else (row.survivor_id, row.survivor_issuer)

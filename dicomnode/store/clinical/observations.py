"""Values and texts of patients: one row however often they come, found by the patient, with their own retention."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from dicomnode.records import ContextSource, Observation, Patient, ReportSection
from dicomnode.store.clinical.patients import PatientKey, all_keys
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.tables import ClinicalText, ClinicalValue, MergedPatient, StudyPatient


@dataclass(frozen=True, slots=True)
class Stored:
    """How many values and texts were new, and how many were known already."""

    new: int
    known: int


@dataclass(frozen=True, slots=True)
class KnownOfPatient:
    """All that is stored about a patient, the oldest arrival first."""

    observations: tuple[Observation, ...]
    texts: tuple[ReportSection, ...]


def store_context(session: Session, observations: Iterable[Observation], texts: Iterable[ReportSection]) -> Stored:
    """Write values and texts; one that says the same as a stored one changes nothing."""
    now = time.time()
    new = [_store_value(session, one, now) for one in observations]
    new += [_store_text(session, one, now) for one in texts]
    return Stored(sum(new), len(new) - sum(new))


def _store_value(session: Session, one: Observation, now: float) -> bool:
    said = [one.name, one.value, one.unit, one.source, one.observed_at]
    return insert_if_absent(
        session,
        ClinicalValue,
        **_patient_columns(one.patient),
        name=one.name,
        value=one.value,
        unit=one.unit,
        source=one.source,
        observed_at=one.observed_at,
        arrived_at=now,
        provenance=one.provenance[:255],
        digest=_digest(one.patient, said),
    )


def _store_text(session: Session, one: ReportSection, now: float) -> bool:
    said = [one.section, one.text, one.author, one.source, one.written_at]
    return insert_if_absent(
        session,
        ClinicalText,
        **_patient_columns(one.patient),
        section=one.section,
        text=one.text,
        author=one.author[:255],
        source=one.source,
        written_at=one.written_at,
        arrived_at=now,
        provenance=one.provenance[:255],
        digest=_digest(one.patient, said),
    )


def _patient_columns(patient: Patient) -> dict[str, str]:
    return {
        "patient_id": patient.patient_id,
        "issuer": patient.issuer[:64],
        "birth_date": patient.birth_date,
        "sex": patient.sex,
    }


def _digest(patient: Patient, said: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps([*_patient_columns(patient).values(), *said]).encode()).hexdigest()


def known_of(session: Session, patient: Patient) -> KnownOfPatient:
    """All that is stored under the IDs of a patient, after merges; nothing of one without an ID."""
    if not patient.patient_id:
        return KnownOfPatient((), ())
    keys = all_keys(session, patient)
    values = select(ClinicalValue).where(tuple_(ClinicalValue.patient_id, ClinicalValue.issuer).in_(keys))
    texts = select(ClinicalText).where(tuple_(ClinicalText.patient_id, ClinicalText.issuer).in_(keys))
    return KnownOfPatient(
        tuple(
            _observation(row) for row in session.scalars(values.order_by(ClinicalValue.arrived_at, ClinicalValue.id))
        ),
        tuple(_section(row) for row in session.scalars(texts.order_by(ClinicalText.arrived_at, ClinicalText.id))),
    )


def _observation(row: ClinicalValue) -> Observation:
    return Observation(
        patient=_patient(row),
        name=row.name,
        value=row.value,
        unit=row.unit,
        source=ContextSource(row.source),
        observed_at=row.observed_at,
        arrived_at=row.arrived_at,
        provenance=row.provenance,
    )


def _section(row: ClinicalText) -> ReportSection:
    return ReportSection(
        patient=_patient(row),
        section=row.section,
        text=row.text,
        author=row.author,
        source=ContextSource(row.source),
        written_at=row.written_at,
        arrived_at=row.arrived_at,
        provenance=row.provenance,
    )


def _patient(row: ClinicalValue | ClinicalText) -> Patient:
    return Patient(patient_id=row.patient_id, issuer=row.issuer, birth_date=row.birth_date, sex=row.sex)


def patients_named(session: Session, patient_id: str) -> list[PatientKey]:
    """Under which issuers anything is stored of an ID."""
    found: set[PatientKey] = set()
    for table in (ClinicalValue, ClinicalText, MergedPatient):
        statement = select(table.patient_id, table.issuer).where(table.patient_id == patient_id).distinct()
        found |= {(row.patient_id, row.issuer) for row in session.execute(statement)}
    return sorted(found)


def forget_context(session: Session, *, before: float) -> int:
    """Delete all that arrived before a moment, and whose study it was; returns how many values and texts went."""
    gone = 0
    for table in (ClinicalValue, ClinicalText):
        done = session.execute(delete(table).where(table.arrived_at < before))
        gone += done.rowcount  # type: ignore[attr-defined]
    session.execute(delete(MergedPatient).where(MergedPatient.merged_at < before))
    session.execute(delete(StudyPatient).where(StudyPatient.seen_at < before))
    return gone

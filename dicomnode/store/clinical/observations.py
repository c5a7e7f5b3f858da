"""Values and texts of patients: one row however often they come, found by the patient, with their own retention."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from dicomnode.records import ContextSource, Observation, Patient, ReportSection
from dicomnode.store.clinical.patients import PatientKey, all_keys, columns_of, patient_of
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.tables import ClinicalText, ClinicalValue, MergedPatient, Statement, StudyPatient


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
    new = [store_value(session, one, now)[1] for one in observations]
    new += [store_section(session, one, now)[1] for one in texts]
    return Stored(sum(new), len(new) - sum(new))


def store_value(session: Session, one: Observation, now: float, statement: str = "") -> tuple[str, bool]:
    """Write a value; its digest, and whether it is new.

    Parameters
    ----------
    statement : key of the observation that it is the newest word about; empty where its source corrects nothing.
    """
    said = [one.name, one.value, one.unit, one.source, one.observed_at]
    told = _told(one, said, now, statement)
    is_new = insert_if_absent(
        session,
        ClinicalValue,
        **told,
        name=one.name,
        value=one.value,
        unit=one.unit,
        observed_at=one.observed_at,
    )
    return told["digest"], is_new


def store_section(session: Session, one: ReportSection, now: float, statement: str = "") -> tuple[str, bool]:
    """Write a section of a report, as :func:`store_value` does a value."""
    said = [one.section, one.text, one.author, one.source, one.written_at]
    told = _told(one, said, now, statement)
    is_new = insert_if_absent(
        session,
        ClinicalText,
        **told,
        section=one.section,
        text=one.text,
        author=one.author[:255],
        written_at=one.written_at,
    )
    return told["digest"], is_new


def _told(one: Observation | ReportSection, said: Sequence[object], now: float, statement: str) -> dict[str, Any]:
    """The columns that both tables have. ``said``: all that the row says, beside whose it is."""
    columns = columns_of(one.patient)
    about = [statement] if statement else []
    digest = hashlib.sha256(json.dumps([*columns.values(), *said, *about]).encode()).hexdigest()
    told = {"source": one.source, "arrived_at": now, "provenance": one.provenance[:255], "digest": digest}
    return {**columns, **told, "statement": statement}


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
        patient=patient_of(row),
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
        patient=patient_of(row),
        section=row.section,
        text=row.text,
        author=row.author,
        source=ContextSource(row.source),
        written_at=row.written_at,
        arrived_at=row.arrived_at,
        provenance=row.provenance,
    )


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
    session.execute(delete(Statement).where(Statement.arrived_at < before))
    session.execute(delete(MergedPatient).where(MergedPatient.merged_at < before))
    session.execute(delete(StudyPatient).where(StudyPatient.seen_at < before))
    return gone

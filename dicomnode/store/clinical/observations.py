"""Values and texts of patients: one row however often they come, found by the patient, with their own retention."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from dicomnode.records import ContextSource, Observation, Patient, ReportSection
from dicomnode.store.clinical.patients import PatientKey, all_keys, columns_of, patient_of
from dicomnode.store.engine import Store
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.steps import delete_in_steps
from dicomnode.store.tables import ClinicalText, ClinicalValue, FhirQuestion, MergedPatient, Statement, StudyPatient

SOME = 500
"""Names in one statement; databases have a limit."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How many values and texts were new, were known already, and were taken back."""

    new: int
    known: int
    gone: int = 0


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


def store_answer(
    session: Session,
    source: ContextSource,
    read: Collection[str],
    observations: Sequence[Observation],
    texts: Sequence[ReportSection],
) -> Stored:
    """Write what a source tells now, and take back what it told before of the same things and does not tell any more.

    Parameters
    ----------
    read : provenance of all that was read, such as a FHIR resource: whatever it told before is out of date.
    """
    everything: list[Observation | ReportSection] = [*observations, *texts]
    told = {_digest(one) for one in everything}
    gone = sum(_take_back(session, table, source, read, told) for table in (ClinicalValue, ClinicalText))
    return replace(store_context(session, observations, texts), gone=gone)


def _take_back(
    session: Session, table: type[ClinicalValue | ClinicalText], source: str, read: Collection[str], told: set[str]
) -> int:
    """Delete what is not told any more; returns how many rows went."""
    names, gone = sorted(read), 0
    for start in range(0, len(names), SOME):
        mine = (table.source == source, table.provenance.in_(names[start : start + SOME]))
        rows: Iterable[ClinicalValue | ClinicalText] = session.scalars(select(table).where(*mine))
        stale = [row for row in rows if row.digest not in told]
        for row in stale:
            session.delete(row)
        gone += len(stale)
    session.flush()
    return gone


def store_value(session: Session, one: Observation, now: float, statement: str = "") -> tuple[str, bool]:
    """Write a value; its digest, and whether it is new.

    Parameters
    ----------
    statement : key of the observation that it is the newest word about; empty where its source corrects nothing.
    """
    told = _told(one, now, statement)
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
    told = _told(one, now, statement)
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


def _told(one: Observation | ReportSection, now: float, statement: str = "") -> dict[str, Any]:
    """The columns that both tables have."""
    told = {"source": one.source, "arrived_at": now, "provenance": one.provenance[:255], "statement": statement}
    return {**columns_of(one.patient), **told, "digest": _digest(one, statement)}


def _digest(one: Observation | ReportSection, statement: str = "") -> str:
    """Of all that a row says, and whose it is: a repeat is one row."""
    said: list[object] = (
        [one.name, one.value, one.unit, one.source, one.observed_at]
        if isinstance(one, Observation)
        else [one.section, one.text, one.author, one.source, one.written_at]
    )
    about = [statement] if statement else []
    return hashlib.sha256(json.dumps([*columns_of(one.patient).values(), *said, *about]).encode()).hexdigest()


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


def forget_context(store: Store, *, before: float) -> int:
    """Delete all that arrived before a moment, and whose study it was; returns how many values and texts went."""
    gone = sum(delete_in_steps(store, table, table.arrived_at < before) for table in (ClinicalValue, ClinicalText))
    delete_in_steps(store, Statement, Statement.arrived_at < before)
    delete_in_steps(store, MergedPatient, MergedPatient.merged_at < before)
    delete_in_steps(store, FhirQuestion, FhirQuestion.made_at < before)
    delete_in_steps(store, StudyPatient, StudyPatient.seen_at < before)
    return gone

"""What a FHIR server is asked about the patient of a study: one row for each study, so that a restart forgets nothing.

A question that is being asked is due again after its lease: whoever died over it has lost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select, update
from sqlalchemy.orm import Session

from dicomnode.errors import FhirOutcome
from dicomnode.records import Patient
from dicomnode.store.clinical.patients import columns_of, patient_of
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.states import InstanceStatus
from dicomnode.store.tables import Event, FhirQuestion, Instance, StudyPatient

SUBJECT = "fhir_question"


@dataclass(frozen=True, slots=True)
class NewStudy:
    """A study whose patient nobody was asked about. ``path``: of one of its images, below the spool."""

    study_uid: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question that was claimed. ``failures``: in a row, before this time."""

    question_id: int
    study_uid: str
    patient: Patient
    scanned_at: float | None
    made_at: float
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLine:
    """A question as operators see it. ``detail``: counts and reasons, no values."""

    study_uid: str
    outcome: str
    asked_at: float | None
    answered_at: float | None
    next_try_at: float | None
    failures: int
    detail: dict[str, Any]


def unasked_studies(session: Session, *, after: int, since: float, limit: int) -> list[NewStudy]:
    """Studies with an image that counts, of which there is no question yet.

    Parameters
    ----------
    after : id of an instance up to which all were looked at.
    since : older arrivals are left as they are.
    """
    asked = exists().where(FhirQuestion.study_uid == Instance.study_uid)
    first = (
        select(func.min(Instance.id))
        .where(Instance.id > after, Instance.received_at >= since, Instance.status == InstanceStatus.USED, ~asked)
        .group_by(Instance.study_uid)
    )
    rows = session.execute(select(Instance.study_uid, Instance.path).where(Instance.id.in_(first)).limit(limit))
    return [NewStudy(row.study_uid, row.path) for row in rows]


def make_question(
    session: Session, study_uid: str, patient: Patient, scanned_at: float | None, *, outcome: FhirOutcome | None = None
) -> None:
    """There is something to ask about the patient of a study; or, with an ``outcome``, why there is not."""
    now = time.time()
    is_new = insert_if_absent(
        session,
        FhirQuestion,
        study_uid=study_uid,
        **columns_of(patient),
        scanned_at=scanned_at,
        made_at=now,
        settled_at=None if outcome is None else now,
        next_try_at=now if outcome is None else None,
        failures=0,
        outcome=outcome or "",
        detail={},
    )
    if is_new and outcome is not None:
        _tell(session, study_uid, outcome, {})


def renew_questions(session: Session, *, since: float) -> int:
    """Ask anew where the newest images of a study name another patient than was asked about; returns how many.

    Parameters
    ----------
    since : studies that were read before are left as they are.
    """
    rows = session.execute(_outdated(since)).all()
    for question, stated in rows:
        for name, value in columns_of(patient_of(stated)).items():
            setattr(question, name, value)
        question.scanned_at, question.next_try_at, question.settled_at = stated.scanned_at, time.time(), None
        question.failures, question.outcome = 0, ""
    return len(rows)


def has_outdated(session: Session, *, since: float) -> bool:
    """Whether :func:`renew_questions` has anything to do: looking costs no write."""
    return session.execute(_outdated(since).limit(1)).first() is not None


def _outdated(since: float) -> Select[FhirQuestion, StudyPatient]:
    same = [getattr(FhirQuestion, name) == getattr(StudyPatient, name) for name in columns_of(Patient(patient_id=""))]
    differing: ColumnElement[bool] = or_(*(~one for one in same))
    of_study = FhirQuestion.study_uid == StudyPatient.study_uid
    both = select(FhirQuestion, StudyPatient).join(StudyPatient, of_study)
    return both.where(StudyPatient.seen_at >= since, differing)


def is_any_due(session: Session) -> bool:
    """Whether :func:`claim_question` would find one: looking costs no write."""
    due = FhirQuestion.next_try_at <= time.time()
    return session.scalar(select(FhirQuestion.id).where(due).limit(1)) is not None


def claim_question(session: Session, *, lease_s: float) -> Question | None:
    """The question that is due longest, or None; nobody else takes it before the lease is over."""
    now = time.time()
    due = select(FhirQuestion).where(FhirQuestion.next_try_at <= now).order_by(FhirQuestion.next_try_at)
    row = session.scalars(due.limit(1).with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        return None
    row.next_try_at, row.asked_at = now + lease_s, now
    return Question(
        question_id=row.id,
        study_uid=row.study_uid,
        patient=patient_of(row),
        scanned_at=row.scanned_at,
        made_at=row.made_at,
        failures=row.failures,
    )


def release_question(session: Session, question: Question) -> None:
    """Nobody asks any more: it is due at once."""
    mine = update(FhirQuestion).where(FhirQuestion.id == question.question_id)
    session.execute(mine.values(next_try_at=time.time()))


def record_answer(
    session: Session,
    question: Question,
    outcome: FhirOutcome,
    *,
    detail: dict[str, Any],
    next_try_at: float | None,
    has_new: bool = False,
    has_gone: bool = False,
) -> None:
    """What came of asking; an event tells it where it is news.

    Parameters
    ----------
    detail : counts and coded reasons; no values.
    has_new, has_gone : whether it told what was not known, or took back what was.
    """
    row, now = session.get(FhirQuestion, question.question_id), time.time()
    if row is None or patient_of(row) != question.patient:
        return  # its retention is over, or it is about another patient by now
    if outcome != row.outcome or has_new or has_gone:
        _tell(session, row.study_uid, outcome, detail)
    row.outcome, row.detail, row.next_try_at = outcome, detail, next_try_at
    row.failures = row.failures + 1 if outcome.passes else 0
    if outcome in (FhirOutcome.ANSWERED, FhirOutcome.IN_PART):
        row.answered_at = now
    if not outcome.passes and row.settled_at is None:
        row.settled_at = now
    if has_gone:
        row.changed_at = now


def _tell(session: Session, study_uid: str, outcome: FhirOutcome, detail: dict[str, Any]) -> None:
    what = Event(at=time.time(), subject=SUBJECT, name=outcome, study_uid=study_uid, detail=detail)
    session.add(what)


def questions_of(session: Session, study_uids: Collection[str]) -> list[QuestionLine]:
    """What was asked about the patients of some studies."""
    rows = session.scalars(select(FhirQuestion).where(FhirQuestion.study_uid.in_(study_uids)).order_by(FhirQuestion.id))
    return [
        QuestionLine(
            study_uid=row.study_uid,
            outcome=row.outcome,
            asked_at=row.asked_at,
            answered_at=row.answered_at,
            next_try_at=row.next_try_at,
            failures=row.failures,
            detail=row.detail,
        )
        for row in rows
    ]

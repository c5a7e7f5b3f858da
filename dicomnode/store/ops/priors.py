"""Searches for earlier and later CTs: which studies ask for one, what came of it, and which studies were fetched."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicomnode.decision import Outcome, ScoreOutcome
from dicomnode.records import Patient
from dicomnode.store.clinical.patients import patient_of
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.states import JOB_INACTIVE, RunStatus
from dicomnode.store.tables import Event, Job, LaterSearch, PriorSearch, Run, Series, StudyPatient

SearchTable = type[PriorSearch] | type[LaterSearch]
"""Which way is looked; events of a search have the name of its table as their subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search that was claimed. ``failures``: in a row, before this time."""

    search_id: int
    study_uid: str
    patient: Patient
    scanned_at: float
    failures: int


TABLES: tuple[SearchTable, ...] = (PriorSearch, LaterSearch)


def _fetched_by(table: SearchTable) -> InstrumentedAttribute[str]:
    """The column with the study that a search had sent."""
    return PriorSearch.prior_study_uid if table is PriorSearch else LaterSearch.later_study_uid


def is_fetched(session: Session, study_uid: str) -> bool:
    """Whether this node had an archive send a study: its images start no ordinary protocol."""
    asked = [select(column.class_.id).where(column == study_uid) for column in (_fetched_by(one) for one in TABLES)]
    return any(session.scalar(one.limit(1)) is not None for one in asked)


def is_known(session: Session, study_uid: str) -> bool:
    """Whether anything of a study ever came."""
    return session.scalar(select(Series.id).where(Series.study_uid == study_uid).limit(1)) is not None


def new_searches(session: Session, *, finding: str, since: float) -> list[str]:
    """Studies with marks of a finding for which nothing was searched yet.

    Parameters
    ----------
    since : what was read before is left as it is, seconds since the epoch.
    """
    statement = (
        select(StudyPatient.study_uid, Run.outcomes)
        .join(Job, Job.study_uid == StudyPatient.study_uid)
        .join(Run, Run.job_id == Job.id)
        .where(StudyPatient.patient_id != "", StudyPatient.scanned_at.is_not(None), StudyPatient.seen_at >= since)
        .where(Run.status == RunStatus.SUCCEEDED, Job.status.not_in(JOB_INACTIVE), *_new(PriorSearch))
    )
    return sorted({study_uid for study_uid, said in session.execute(statement) if _has(said, finding)})


def foretold_studies(session: Session, *, scores: Collection[tuple[str, str]], since: float, until: float) -> list[str]:
    """Studies with a score that foretells, for which no later CT was searched yet.

    Parameters
    ----------
    scores : each as model and score. since : what was read before is left as it is. until : scanned at the latest;
        both seconds since the epoch.
    """
    statement = (
        select(StudyPatient.study_uid, Run.model, Run.scores)
        .join(Job, Job.study_uid == StudyPatient.study_uid)
        .join(Run, Run.job_id == Job.id)
        .where(StudyPatient.patient_id != "", StudyPatient.scanned_at <= until, StudyPatient.seen_at >= since)
        .where(Run.status == RunStatus.SUCCEEDED, Job.status.not_in(JOB_INACTIVE), *_new(LaterSearch))
        .where(Run.model.in_({model for model, _ in scores}))
    )
    return sorted(
        {
            study_uid
            for study_uid, model, said in session.execute(statement)
            if any((model, one.finding) in scores for one in map(ScoreOutcome.from_dict, said))
        }
    )


def _new(table: SearchTable) -> tuple[ColumnElement[bool], ...]:
    """Of studies that did not ask yet, and were not fetched themselves."""
    asked = exists().where(table.study_uid == StudyPatient.study_uid)
    fetched = or_(*(exists().where(_fetched_by(one) == StudyPatient.study_uid) for one in TABLES))
    return ~asked, ~fetched


def _has(said: list[dict[str, Any]], finding: str) -> bool:
    return any(one.finding == finding and one.lesions for one in map(Outcome.from_dict, said))


def make_search(session: Session, table: SearchTable, study_uid: str) -> None:
    """Another CT is to be looked for, now."""
    now = time.time()
    insert_if_absent(
        session,
        table,
        study_uid=study_uid,
        **{_fetched_by(table).key: ""},
        made_at=now,
        next_try_at=now,
        failures=0,
        outcome="",
        detail={},
    )


def claim_search(session: Session, table: SearchTable, *, lease_s: float) -> Search | None:
    """The search that is due longest, or None; nobody else takes it before the lease is over."""
    now = time.time()
    due = (
        select(table, StudyPatient)
        .join(StudyPatient, StudyPatient.study_uid == table.study_uid)
        .where(table.next_try_at <= now, StudyPatient.scanned_at.is_not(None))
        .order_by(table.next_try_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = session.execute(due).one_or_none()
    if found is None:
        return None
    row, stated = found
    row.next_try_at = now + lease_s
    assert stated.scanned_at is not None
    return Search(
        search_id=row.id,
        study_uid=row.study_uid,
        patient=patient_of(stated),
        scanned_at=stated.scanned_at,
        failures=row.failures,
    )


def is_any_due(session: Session, table: SearchTable) -> bool:
    """Whether :func:`claim_search` would find one: looking costs no write."""
    due = table.next_try_at <= time.time()
    return session.scalar(select(table.id).where(due).limit(1)) is not None


def announce(session: Session, table: SearchTable, search: Search, found_study_uid: str) -> bool:
    """A study is about to be fetched: from now on its images are known as such.

    Returns
    -------
    False where something of it has come meanwhile by itself: then it is as any study.
    """
    if is_known(session, found_study_uid) and not is_fetched(session, found_study_uid):
        return False
    session.execute(update(table).where(table.id == search.search_id).values({_fetched_by(table): found_study_uid}))
    return True


def record_search(
    session: Session,
    table: SearchTable,
    search: Search,
    outcome: str,
    detail: Mapping[str, Any],
    *,
    failures: int = 0,
    next_try_at: float | None = None,
) -> None:
    """What came of asking; an event tells it.

    Parameters
    ----------
    detail : counts and coded reasons; nothing of a patient.
    failures : in a row, this one included. next_try_at : when to ask again; None: never.
    """
    row = session.get(table, search.search_id)
    if row is None:
        return  # the history of the study is over
    row.outcome, row.detail, row.next_try_at = outcome, dict(detail), next_try_at
    row.failures = failures
    told = {"subject": table.__tablename__, "name": outcome, "study_uid": search.study_uid, "detail": dict(detail)}
    session.add(Event(at=time.time(), **told))


def searches_to_tell(session: Session, *, outcomes: tuple[str, ...], since: float) -> list[Search]:
    """Searches with an earlier study whose volume is not known yet to the study that asked for it."""
    statement = (
        select(PriorSearch, StudyPatient)
        .join(StudyPatient, StudyPatient.study_uid == PriorSearch.study_uid)
        .where(PriorSearch.outcome.in_(outcomes), PriorSearch.made_at >= since, StudyPatient.scanned_at.is_not(None))
    )
    return [
        Search(
            search_id=row.id,
            study_uid=row.study_uid,
            patient=patient_of(stated),
            scanned_at=stated.scanned_at or 0.0,
            failures=row.failures,
        )
        for row, stated in session.execute(statement)
    ]

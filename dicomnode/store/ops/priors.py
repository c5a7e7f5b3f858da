"""Searches for earlier CTs: which studies ask for one, what came of it, and which studies were fetched."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from dicomnode.decision import Outcome
from dicomnode.records import Patient
from dicomnode.store.clinical.patients import patient_of
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.states import JOB_INACTIVE, RunStatus
from dicomnode.store.tables import Event, Job, PriorSearch, Run, Series, StudyPatient

SUBJECT = "prior_search"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search that was claimed. ``failures``: in a row, before this time."""

    search_id: int
    study_uid: str
    patient: Patient
    scanned_at: float
    failures: int


def is_fetched(session: Session, study_uid: str) -> bool:
    """Whether this node had an archive send a study: its images start no ordinary protocol."""
    return session.scalar(select(PriorSearch.id).where(PriorSearch.prior_study_uid == study_uid).limit(1)) is not None


def is_known(session: Session, study_uid: str) -> bool:
    """Whether anything of a study ever came."""
    return session.scalar(select(Series.id).where(Series.study_uid == study_uid).limit(1)) is not None


def new_searches(session: Session, *, finding: str, since: float) -> list[str]:
    """Studies with marks of a finding for which nothing was searched yet.

    Parameters
    ----------
    since : what was read before is left as it is, seconds since the epoch.
    """
    asked = exists().where(PriorSearch.study_uid == StudyPatient.study_uid)
    fetched = exists().where(PriorSearch.prior_study_uid == StudyPatient.study_uid)
    statement = (
        select(StudyPatient.study_uid, Run.outcomes)
        .join(Job, Job.study_uid == StudyPatient.study_uid)
        .join(Run, Run.job_id == Job.id)
        .where(StudyPatient.patient_id != "", StudyPatient.scanned_at.is_not(None), StudyPatient.seen_at >= since)
        .where(Run.status == RunStatus.SUCCEEDED, Job.status.not_in(JOB_INACTIVE), ~asked, ~fetched)
    )
    return sorted({study_uid for study_uid, said in session.execute(statement) if _has(said, finding)})


def _has(said: list[dict[str, Any]], finding: str) -> bool:
    return any(one.finding == finding and one.lesions for one in map(Outcome.from_dict, said))


def make_search(session: Session, study_uid: str) -> None:
    """An earlier CT is to be looked for, now."""
    now = time.time()
    insert_if_absent(
        session,
        PriorSearch,
        study_uid=study_uid,
        prior_study_uid="",
        made_at=now,
        next_try_at=now,
        failures=0,
        outcome="",
        detail={},
    )


def claim_search(session: Session, *, lease_s: float) -> Search | None:
    """The search that is due longest, or None; nobody else takes it before the lease is over."""
    now = time.time()
    due = (
        select(PriorSearch, StudyPatient)
        .join(StudyPatient, StudyPatient.study_uid == PriorSearch.study_uid)
        .where(PriorSearch.next_try_at <= now, StudyPatient.scanned_at.is_not(None))
        .order_by(PriorSearch.next_try_at)
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


def is_any_due(session: Session) -> bool:
    """Whether :func:`claim_search` would find one: looking costs no write."""
    due = PriorSearch.next_try_at <= time.time()
    return session.scalar(select(PriorSearch.id).where(due).limit(1)) is not None


def announce(session: Session, search: Search, prior_study_uid: str) -> bool:
    """A study is about to be fetched: from now on its images are known as such.

    Returns
    -------
    False where something of it has come meanwhile by itself: then it is as any study.
    """
    if is_known(session, prior_study_uid) and not is_fetched(session, prior_study_uid):
        return False
    mine = update(PriorSearch).where(PriorSearch.id == search.search_id)
    session.execute(mine.values(prior_study_uid=prior_study_uid))
    return True


def record_search(
    session: Session,
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
    row = session.get(PriorSearch, search.search_id)
    if row is None:
        return  # the history of the study is over
    row.outcome, row.detail, row.next_try_at = outcome, dict(detail), next_try_at
    row.failures = failures
    session.add(Event(at=time.time(), subject=SUBJECT, name=outcome, study_uid=search.study_uid, detail=dict(detail)))


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

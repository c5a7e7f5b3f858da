"""Studies as the status page lists them, and what an operator did, in their history."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.orm import Session

from dicomnode.dicom.uids import is_valid_uid
from dicomnode.kinds import Kind
from dicomnode.store.history.events import studies_named
from dicomnode.store.tables import Event, Job, Result, Series

LOOKED_THROUGH = 500
"""Newest series among which the newest studies are looked for."""
_LAST = "\U0010ffff"
_SERIES = select(Series.id, Series.study_uid, Series.accession_number, Series.last_instance_at, Series.status)
"""As rows: to make objects of hundreds of series takes longer than to read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLine:
    """One study. ``states``: of its jobs, newest first; of series without a job their own."""

    study_uid: str
    accession_number: str
    series: int
    last_image_at: float
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A result that is a picture. ``path``: below the data folder."""

    result_id: int
    job_id: int
    path: str
    superseded: bool


def newest_studies(session: Session, *, limit: int = 50) -> list[StudyLine]:
    """The studies whose series came last."""
    newest = _SERIES.order_by(Series.id.desc()).limit(LOOKED_THROUGH)
    return _lines(session, session.execute(newest), limit)


def find_studies(session: Session, text: str, *, limit: int = 50) -> list[StudyLine]:
    """By the beginning of an accession number or study UID, by a job id, or by any UID in full."""
    text = text.strip()
    if not text:
        return newest_studies(session, limit=limit)
    begins = (_begins(session, column, text) for column in (Series.accession_number, Series.study_uid))
    found = _SERIES.where(or_(*begins)).order_by(Series.id.desc())
    series: list[Any] = [*session.execute(found.limit(LOOKED_THROUGH))]
    named = studies_named(session, text) if not series and is_valid_uid(text) else []
    if text.isdigit() and len(text) < 12:
        named += session.scalars(select(Job.study_uid).where(Job.id == int(text))).all()
    series += session.execute(_SERIES.where(Series.study_uid.in_(named))).all()
    return _lines(session, series, limit)


def _begins(session: Session, column: Any, text: str) -> ColumnElement[bool]:
    """On SQLite as a range, which an index serves there; PostgreSQL may sort by the rules of a language."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    begins: ColumnElement[bool] = (
        (column >= text) & (column < text + _LAST) if is_sqlite else column.startswith(text, autoescape=True)
    )
    return begins


def _lines(session: Session, series: Iterable[Row[Any]], limit: int) -> list[StudyLine]:
    studies: dict[str, dict[int, Row[Any]]] = {}
    for one in series:
        studies.setdefault(one.study_uid, {})[one.id] = one
    newest = sorted(studies, key=lambda uid: _last_image_at(studies[uid]), reverse=True)[:limit]
    jobs: dict[str, list[str]] = {uid: [] for uid in newest}
    rows = select(Job.study_uid, Job.status).where(Job.study_uid.in_(newest)).order_by(Job.id.desc())
    for study_uid, status in session.execute(rows):
        jobs[study_uid].append(status)
    return [_line(uid, studies[uid], jobs[uid]) for uid in newest]


def _line(study_uid: str, series: Mapping[int, Row[Any]], jobs: Sequence[str]) -> StudyLine:
    return StudyLine(
        study_uid=study_uid,
        accession_number=next((one.accession_number for one in series.values() if one.accession_number), ""),
        series=len(series),
        last_image_at=_last_image_at(series),
        states=tuple(dict.fromkeys(jobs or [one.status for one in series.values()])),
    )


def _last_image_at(series: Mapping[int, Row[Any]]) -> float:
    return max(float(one.last_instance_at) for one in series.values())


def pictures_of(session: Session, study_uid: str) -> list[Picture]:
    """The overview pictures of a study, the newest first."""
    statement = select(Result).where(Result.study_uid == study_uid, Result.kind == Kind.SC).order_by(Result.id.desc())
    return [Picture(row.id, row.job_id, row.path, row.superseded) for row in session.scalars(statement)]


def picture(session: Session, result_id: int) -> Picture | None:
    """One of them; None where this result is none."""
    row = session.get(Result, result_id)
    if row is None or row.kind != Kind.SC:
        return None
    return Picture(row.id, row.job_id, row.path, row.superseded)


def note_deed(session: Session, did: str, user: str, *, job_id: int | None = None, **about: Any) -> None:
    """Write into the history what an operator did, in the transaction that does it."""
    study_uid = session.scalar(select(Job.study_uid).where(Job.id == job_id)) if job_id is not None else None
    event = Event(at=time.time(), subject="operator", name=did, study_uid=study_uid or "", job_id=job_id)
    event.detail = {"by": user, **about}
    session.add(event)

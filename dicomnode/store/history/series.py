"""Series that have no job, with the reason."""

from __future__ import annotations

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from dicomnode.store.history.lines import SeriesLine
from dicomnode.store.states import SeriesStatus
from dicomnode.store.tables import Series


def list_series_without_job(session: Session, *, limit: int | None = 50) -> list[SeriesLine]:
    """The newest series first that are not chosen for a job, with the reason."""
    # A statement for each status: in each the index gives the newest, however many there are.
    newest = [row for status in _WITHOUT_JOB for row in session.scalars(_newest_series(status).limit(limit))]
    newest.sort(key=lambda row: row.last_instance_at, reverse=True)
    return [
        SeriesLine(
            series_uid=row.series_uid,
            study_uid=row.study_uid,
            accession_number=row.accession_number,
            modality=row.modality,
            status=row.status,
            refusal=row.refusal,
            detail=row.refusal_detail,
            sender_ae=row.sender_ae,
            first_instance_at=row.first_instance_at,
            last_instance_at=row.last_instance_at,
        )
        for row in newest[:limit]
    ]


_WITHOUT_JOB = tuple(status for status in SeriesStatus if status is not SeriesStatus.CHOSEN)


def _newest_series(status: SeriesStatus) -> Select[Series]:
    return select(Series).where(Series.status == status).order_by(Series.last_instance_at.desc())


def count_series_without_job(session: Session, *, up_to: int | None = None) -> int:
    """How many there are. ``up_to``: where counting ends; None: nowhere."""
    found = select(Series.id).where(Series.status.in_(_WITHOUT_JOB)).limit(up_to)
    return session.scalar(select(func.count()).select_from(found.subquery())) or 0

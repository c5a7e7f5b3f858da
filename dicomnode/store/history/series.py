"""Series that have no job, with the reason."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ScalarSelect, Select, func, select, union_all
from sqlalchemy.orm import Session

from dicomnode.store.history.lines import SeriesLine
from dicomnode.store.states import SeriesStatus
from dicomnode.store.tables import Series


def list_series_without_job(session: Session, *, limit: int | None = 50) -> list[SeriesLine]:
    """The newest series first that are not chosen for a job, with the reason."""
    # A query for each status: in each the index gives the newest, however many there are.
    of_each = union_all(*(select(_newest_series(status).limit(limit).subquery()) for status in _WITHOUT_JOB))
    newest = select(of_each.subquery())
    rows = session.execute(newest.order_by(newest.selected_columns.last_instance_at.desc()).limit(limit))
    return [SeriesLine(**row._mapping) for row in rows]


_WITHOUT_JOB = tuple(status for status in SeriesStatus if status is not SeriesStatus.CHOSEN)
_SERIES = select(
    Series.series_uid,
    Series.study_uid,
    Series.accession_number,
    Series.modality,
    Series.status,
    Series.refusal,
    Series.refusal_detail.label("detail"),
    Series.sender_ae,
    Series.first_instance_at,
    Series.last_instance_at,
)


def _newest_series(status: SeriesStatus) -> Select[Any]:
    return _SERIES.where(Series.status == status).order_by(Series.last_instance_at.desc())


def number_of_series_without_job(*, up_to: int | None = None) -> ScalarSelect[int]:
    """Of a query: how many there are. ``up_to``: where counting ends; None: nowhere."""
    found = select(Series.id).where(Series.status.in_(_WITHOUT_JOB)).limit(up_to)
    return select(func.count()).select_from(found.subquery()).scalar_subquery()

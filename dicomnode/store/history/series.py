"""Series that have no job, with the reason."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import CompoundSelect, ScalarSelect, desc, func, select, union_all
from sqlalchemy.orm import Session

from dicomnode.store.history.lines import SeriesLine
from dicomnode.store.states import SeriesStatus
from dicomnode.store.tables import Series


def list_series_without_job(session: Session, *, limit: int | None = 50) -> list[SeriesLine]:
    """The newest series first that are not chosen for a job, with the reason."""
    return [SeriesLine(**row._mapping) for row in session.execute(_newest(limit))]


_WITHOUT_JOB = tuple(status for status in SeriesStatus if status is not SeriesStatus.CHOSEN)
_TABLE = Series.__table__.c
_SERIES = select(
    _TABLE.series_uid,
    _TABLE.study_uid,
    _TABLE.accession_number,
    _TABLE.modality,
    _TABLE.status,
    _TABLE.refusal,
    _TABLE.refusal_detail.label("detail"),
    _TABLE.sender_ae,
    _TABLE.first_instance_at,
    _TABLE.last_instance_at,
)


@cache  # to build it takes longer than to run it
def _newest(limit: int | None) -> CompoundSelect[Any]:
    # A query for each status: in each the index gives the newest, however many there are.
    of_each = [
        _SERIES.where(Series.status == status).order_by(Series.last_instance_at.desc()).limit(limit)
        for status in _WITHOUT_JOB
    ]
    return union_all(*(select(one.subquery()) for one in of_each)).order_by(desc("last_instance_at")).limit(limit)


def number_of_series_without_job(*, up_to: int | None = None) -> ScalarSelect[int]:
    """Of a query: how many there are. ``up_to``: where counting ends; None: nowhere."""
    found = select(Series.id).where(Series.status.in_(_WITHOUT_JOB)).limit(up_to)
    return select(func.count()).select_from(found.subquery()).scalar_subquery()

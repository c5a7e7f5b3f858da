"""What the database has of the series and SOP instances of files that arrive, locked until their rows are written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    bindparam,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from dicomnode.records import ReceivedInstance
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.locks import lock_instances, lock_series_of
from dicomnode.store.states import SeriesStatus
from dicomnode.store.tables import Instance, RejectedInstance, Result, Series

# Built once, and run without the mapper where no object is wanted: to build a statement takes as long as to run it, and
# these run for every image.
_UIDS: BindParameter[str] = bindparam("uids", expanding=True)
_SERIES: BindParameter[int] = bindparam("series", expanding=True)
# SQLite looks for rows by the index of what it is asked for first or last, as it happens: by the series it would go
# through all that came of it, for each image. No index knows the sum.
_SERIES_ID = Instance.series_id + 0
_MET: CompoundSelect[Any] = union_all(
    select(literal_column("'result'"), Result.sop_instance_uid).where(Result.sop_instance_uid.in_(_UIDS)),
    select(literal_column("'rejected'"), RejectedInstance.sop_instance_uid).where(
        RejectedInstance.sop_instance_uid.in_(_UIDS)
    ),
    select(literal_column("'known'"), Instance.sop_instance_uid).where(
        Instance.sop_instance_uid.in_(_UIDS), _SERIES_ID.in_(_SERIES)
    ),
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """One file to be indexed, and who brought it; ``association_id`` is None for what a sweep found."""

    received: ReceivedInstance
    association_id: int | None
    sender_ae: str


@dataclass(slots=True, kw_only=True)
class SeriesNow:
    """A series, locked, while files of it are indexed.

    Attributes
    ----------
    known : its files by SOP instance, those of this transaction included.
    is_counted : whether the database has what ``row`` says of its images.
    """

    row: Series
    known: dict[str, list[Instance]]
    is_counted: bool = True


def key_of(received: ReceivedInstance) -> tuple[str, str]:
    """What a series is known by."""
    return received.study_uid, received.series_uid


def locked_series(session: Session, arrived: Sequence[Arrived], now: float) -> dict[tuple[str, str], SeriesNow]:
    """The series of some files, made where they are new; all locked."""
    first = {key_of(one.received): one for one in reversed(arrived)}
    rows = _locked_rows(session, first)
    if len(rows) < len(first):
        for key in sorted(first.keys() - rows.keys()):
            _insert_series(session, first[key], now)
        rows = _locked_rows(session, first)
    return {key: SeriesNow(row=row, known={}) for key, row in rows.items()}


def met_already(
    session: Session, arrived: Sequence[Arrived], series: Mapping[tuple[str, str], SeriesNow]
) -> dict[str, set[str]]:
    """SOP instances among the files that are results of this node, were rejected, or lie in their series already."""
    uids = sorted({one.received.sop_instance_uid for one in arrived})
    met: dict[str, set[str]] = {"result": set(), "rejected": set(), "known": set()}
    ids = [one.row.id for one in series.values()]
    for what, uid in session.connection().execute(_MET, {"uids": uids, "series": ids}):
        met[what].add(uid)
    return met


def lock_known(session: Session, series: Mapping[tuple[str, str], SeriesNow], uids: Collection[str]) -> None:
    """Read and lock what the series have of some SOP instances."""
    if not uids:
        return
    ids = [one.row.id for one in series.values()]
    for instance in lock_instances(session, Instance.sop_instance_uid.in_(uids), _SERIES_ID.in_(ids)):
        known = series[instance.study_uid, instance.series_uid].known
        known.setdefault(instance.sop_instance_uid, []).append(instance)


def _locked_rows(session: Session, first: dict[tuple[str, str], Arrived]) -> dict[tuple[str, str], Series]:
    return {(row.study_uid, row.series_uid): row for row in lock_series_of(session, list(first))}


def _insert_series(session: Session, one: Arrived, now: float) -> None:
    insert_if_absent(
        session,
        Series,
        study_uid=one.received.study_uid,
        series_uid=one.received.series_uid,
        accession_number=str(one.received.header.get("AccessionNumber") or "")[:64],
        modality=str(one.received.header.get("Modality") or "")[:16],
        sender_ae=one.sender_ae,
        status=SeriesStatus.RECEIVING,
        reopened=0,
        instances=0,
        first_instance_at=now,
        last_instance_at=now,
        acquisition_key="",
        refusal="",
        refusal_detail="",
    )

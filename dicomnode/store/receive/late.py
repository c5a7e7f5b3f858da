"""Files that come after their series was complete, after retention took them, or beyond what a series may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicomnode.errors import Refusal
from dicomnode.records import ReceivedInstance
from dicomnode.store.queue.jobs import supersede_jobs_of_series
from dicomnode.store.retention import KEPT, is_taken_in_part
from dicomnode.store.states import InstanceStatus, SeriesEvent, SeriesStatus
from dicomnode.store.tables import Instance, Series
from dicomnode.store.transitions import move, note


def set_aside_if_late(
    session: Session, series: Series, received: ReceivedInstance, *, is_full: bool
) -> ReceivedInstance:
    """The record, set aside where its series has enough, or is over."""
    if is_full:
        return replace(received, not_used=Refusal.TOO_MANY_INSTANCES.value, header={}, rejection=None)
    if received.not_used is None and _is_past_retention(session, series):
        note(session, series, "late_after_retention", detail={"sop_instance_uid": received.sop_instance_uid})
        return replace(received, not_used=Refusal.AFTER_RETENTION.value)
    return received


def _is_past_retention(session: Session, series: Series) -> bool:
    """Whether retention has taken slices of a series that is closed: what comes now makes no series of them."""
    return series.status != SeriesStatus.RECEIVING and is_taken_in_part(session, series.id, back=KEPT)


def revive(row: Instance, received: ReceivedInstance, known: Sequence[Instance], now: float) -> None:
    """Take a file up again whose bytes retention had taken: its results exist already, its retention begins anew."""
    # What was set aside stays so; the reason outlasts the purge.
    row.status = InstanceStatus.NOT_USED if row.reason else status(received)
    row.path, row.received_at = str(received.path), now
    for other in known:
        if other is not row and other.status == InstanceStatus.USED and other.pixel_digest == row.pixel_digest != "":
            other.status = InstanceStatus.OLDER


def status(received: ReceivedInstance) -> InstanceStatus:
    return InstanceStatus.NOT_USED if received.not_used else InstanceStatus.USED


def reopen_if_closed(session: Session, series: Series, *, adds_image: bool) -> None:
    """``reopened`` counts late images only: a sender that corrects a header does not add to a series."""
    if series.status == SeriesStatus.RECEIVING:
        return
    reopened = series.reopened + 1 if adds_image else series.reopened
    move(session, series, SeriesEvent.REOPEN, reopened=reopened, refusal="", refusal_detail="")
    supersede_jobs_of_series(session, series, reason="late instance" if adds_image else "new header")


def take_up_if_whole(session: Session, series: Series) -> None:
    """Use the late images that were set aside because slices had gone, once all of those have come again."""
    session.flush()
    late = (Instance.series_id == series.id, Instance.reason == Refusal.AFTER_RETENTION)
    if session.scalar(select(Instance.id).where(*late).limit(1)) is None:
        return
    if not is_taken_in_part(session, series.id, back=KEPT):
        used = update(Instance).where(*late, Instance.status == InstanceStatus.NOT_USED)
        session.execute(used.values(status=InstanceStatus.USED, reason=""))
        reopen_if_closed(session, series, adds_image=False)

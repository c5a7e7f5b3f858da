"""The assembler: looks at every due series and decides what becomes of it.

wait -> complete -> refuse, or set aside, or weigh against the other reconstructions of its acquisition and queue a job.
All it knows comes from the database, so that several receivers may feed it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dicomnode.assemble.choice import best_series, protocols_for
from dicomnode.assemble.completeness import Decision, Evidence, decide
from dicomnode.assemble.copies import is_one_image, refuse_conflicts, shared
from dicomnode.assemble.gate import extent_of
from dicomnode.assemble.selection import Candidate, candidate_of, is_first_choice, same_acquisition
from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.errors import JobError, Refusal, SeriesError
from dicomnode.records import Header
from dicomnode.store.assemble.assembly import (
    COUNTED,
    PlannedJob,
    choose_series,
    competing_series,
    due_series,
    feeding_of,
    has_reason,
    instances_of,
    locked_series,
    note_decision,
    other_series_of_study,
    pass_over_series,
    refuse_series,
    set_instance_statuses,
    set_pixel_digests,
    set_series_aside,
    wait_for,
)
from dicomnode.store.engine import Store
from dicomnode.store.receive.rejected_images import set_rejected_aside
from dicomnode.store.states import InstanceStatus, SeriesStatus
from dicomnode.store.tables import Instance, Series

log = logging.getLogger(__name__)

POSTPONED_S = 60.0
"""A series that breaks the assembler stands back this long, so that it holds up no other."""


class Assembler:
    """Decides over series; :meth:`tick` is called several times a second.

    Parameters
    ----------
    digest_of : digest of the pixels of a file, or ``UNREADABLE_PIXELS``; decoded elsewhere: a file may be a bomb. Where
        it raises, the series stands back.
    is_stopping : whether the node is to stop; then the rest of what is due waits for the next start.
    """

    def __init__(
        self, config: Config, store: Store, digest_of: Callable[[Path], str], is_stopping: Callable[[], bool]
    ) -> None:
        self._is_stopping = is_stopping
        self.config = config
        self.store = store
        self._digest_of = digest_of

    def tick(self) -> int:
        """Look at every series that is due; returns how many.

        Raises
        ------
        Exception : a fault of this code. The series it failed on stands back; the next tick takes the others. So does
            one whose files cannot be read now, but the others are looked at all the same.
        """
        with self.store.read() as session:
            due = due_series(session, time.time())
        for series_id in due:
            if self._is_stopping():
                break
            try:
                self._look_at_one(series_id)
            except JobError:
                # A worker or a sender moved the job on that was to be superseded: the series is still due.
                log.info("series is weighed again", extra={"series_id": series_id})
            except Exception as fault:
                self._postpone(series_id)
                if fault_of(fault) is Fault.STAYS:
                    raise
                facts = {"action": "environment", "series_id": series_id, "error": said_by(fault)}
                log.error("series waits: the environment failed", extra=facts)
        return len(due)

    def _look_at_one(self, series_id: int) -> None:
        self._compare_pixels(series_id)
        with self.store.write() as session:
            series = locked_series(session, series_id)
            if series.status == SeriesStatus.RECEIVING:
                self._look_at(session, series)

    def _postpone(self, series_id: int) -> None:
        # Where the database is away, nothing needs to be postponed.
        with contextlib.suppress(SQLAlchemyError), self.store.write() as session:
            wait_for(session, locked_series(session, series_id), time.time() + POSTPONED_S)

    def _compare_pixels(self, series_id: int) -> None:
        """Have decoded, outside any transaction, what shares a SOP instance UID: a header update, or a conflict?"""
        with self.store.read() as session:
            if self._is_too_many(session, session.get_one(Series, series_id)):
                return
            ambiguous = [row for group in _shared(instances_of(session, series_id)) for row in group]
        unknown = [row for row in ambiguous if not row.pixel_digest]
        digests = {row.id: self._digest_of(self.config.spool_dir.absolute() / row.path) for row in unknown}
        if digests:
            with self.store.write() as session:
                set_pixel_digests(session, digests)

    def _is_too_many(self, session: Session, series: Series) -> bool:
        """Whether a series has more instances than it may: not all of them are looked at to find out."""
        return has_reason(session, series, Refusal.TOO_MANY_INSTANCES)

    def _look_at(self, session: Session, series: Series) -> None:
        if self._is_too_many(session, series):
            most = self.config.reception.max_series_instances
            refuse_series(session, series, refusal=Refusal.TOO_MANY_INSTANCES, detail=f"more than {most}")
            log.warning("series refused", extra={**_facts(series), "refusal": Refusal.TOO_MANY_INSTANCES.value})
            return
        set_rejected_aside(session, series)
        session.expire_all()
        if not _resolve(session, series):
            return  # a file came since its pixels could have been compared; the series is due again
        rows = instances_of(session, series.id)
        used = [row for row in rows if row.status == InstanceStatus.USED]
        if not any(row.status in COUNTED for row in rows):
            # Nothing to wait for: should a slice come after all, it reopens the series.
            set_series_aside(session, series, refusal=_reason_of(rows))
            return
        decision = self._decide(session, series, [row.header for row in used])
        if decision.wait_until is not None:
            wait_for(session, series, decision.wait_until)
            return
        note_decision(session, series, decision.why)
        try:
            refuse_conflicts(row.sop_instance_uid for row in rows if row.status == InstanceStatus.CONFLICT)
            self._choose(session, series, [row.header for row in used])
        except SeriesError as fault:
            refuse_series(session, series, refusal=fault.refusal, detail=_with_set_aside(fault.detail, rows))
            log.warning("series refused", extra={**_facts(series), "refusal": fault.refusal.value})

    def _decide(self, session: Session, series: Series, headers: Sequence[Header]) -> Decision:
        now = time.time()
        feeding = feeding_of(session, series, stale_before=now - self.config.reception.idle_timeout_s)
        contiguous, coverage_mm = extent_of(headers) if headers else (False, 0.0)
        evidence = Evidence(
            now=now,
            last_instance_at=max(series.last_instance_at, feeding.broken_at or 0.0),
            open_associations=feeding.open_associations,
            released_at=feeding.released_at,
            images_in_association=feeding.images_in_association,
            contiguous=contiguous,
            coverage_mm=coverage_mm,
            sender_adds_late=feeding.sender_adds_late,
        )
        return decide(evidence, self.config.reception)

    def _choose(self, session: Session, series: Series, headers: Sequence[Header]) -> None:
        protocols = protocols_for(headers, self.config.protocol)
        series.acquisition_key = _acquisition_key(session, series, headers)
        session.flush()
        candidate = candidate_of(headers)
        planned, better = [], ""
        for protocol in protocols:
            rival = competing_series(session, series, protocol.name)
            if rival is not None and rival.id != series.id and not _beats(session, headers, rival, protocol):
                better = rival.series_uid
            else:
                planned.append(self._planned_job(protocol, candidate))
        if planned:
            choose_series(session, series, planned, reason=f"{candidate.kernel} kernel, {candidate.spacing_mm:.1f} mm")
        else:
            pass_over_series(session, series, better=better)
        log.info("series complete", extra={**_facts(series), "status": series.status, "slices": len(headers)})

    def _planned_job(self, protocol: Protocol, candidate: Candidate) -> PlannedJob:
        first = is_first_choice(candidate, protocol.preferred_thickness_mm)
        wait_s = 0.0 if first else self.config.reception.selection_wait_s
        return PlannedJob(protocol.name, protocol.models, protocol.priority, wait_s)


def _reason_of(rows: Sequence[Instance]) -> str:
    """The reason why nothing in a series is used: that of its first file, unless slices were rejected."""
    reasons = [row.reason for row in rows] or [Refusal.NO_PIXELS.value]
    return Refusal.REJECTED.value if Refusal.REJECTED in reasons else reasons[0]


_SET_ASIDE = {
    Refusal.REJECTED: "were rejected",
    Refusal.UID_MISMATCH: "are others than their sender named",
    Refusal.HEADER_TOO_LARGE: "have too large a header",
    Refusal.UNREADABLE: "cannot be read",
}


def _with_set_aside(detail: str, rows: Sequence[Instance]) -> str:
    """A detail with how many images were set aside, where that may be why others are missing."""
    counts = {reason: sum(row.reason == reason for row in rows) for reason in _SET_ASIDE}
    told = (f"{count} images {_SET_ASIDE[reason]}" for reason, count in counts.items() if count)
    return "; ".join(part for part in (detail, *told) if part)


def _shared(rows: Sequence[Instance]) -> list[list[Instance]]:
    """Groups of more than one file with the same SOP instance UID, oldest first."""
    return shared((row for row in rows if row.status in COUNTED), lambda row: row.sop_instance_uid)


def _resolve(session: Session, series: Series) -> bool:
    """Say which of several files of one SOP instance counts: with equal pixels and geometry the newest, else none.

    False where the pixels of a file were not compared yet; nothing is changed then.
    """
    statuses: dict[int, InstanceStatus] = {}
    for group in _shared(instances_of(session, series.id)):
        digests = {row.pixel_digest for row in group}
        if "" in digests:
            return False
        same = is_one_image(digests)
        for row in group:
            statuses[row.id] = InstanceStatus.OLDER if same else InstanceStatus.CONFLICT
        if same:
            statuses[group[-1].id] = InstanceStatus.USED
    set_instance_statuses(session, statuses)
    session.expire_all()
    return True


def _acquisition_key(session: Session, series: Series, headers: Sequence[Header]) -> str:
    """The key of the acquisition that this series is a reconstruction of; its own UID when it is the first."""
    for other in other_series_of_study(session, series):
        if same_acquisition(headers, _headers_of(session, other)):
            return other.acquisition_key
    return series.series_uid


def _beats(session: Session, headers: Sequence[Header], rival: Series, protocol: Protocol) -> bool:
    return best_series([_headers_of(session, rival), headers], protocol) == 1


def _headers_of(session: Session, series: Series) -> list[Header]:
    rows = instances_of(session, series.id)
    return [row.header for row in rows if row.status == InstanceStatus.USED]


def _facts(series: Series) -> dict[str, str]:
    return {"study_uid": series.study_uid, "series_uid": series.series_uid}

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

from dicomnode.assemble.completeness import Decision, Evidence, decide
from dicomnode.assemble.copies import shared
from dicomnode.assemble.look import (
    Slices,
    Weighed,
    extent_seen,
    others_of,
    reason_of,
    slices_of,
    stamp_of,
    weighed,
    with_set_aside,
)
from dicomnode.assemble.selection import Candidate, candidate_of, is_first_choice, rank
from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.errors import JobError, Refusal
from dicomnode.store.assemble.assembly import (
    PlannedJob,
    choose_series,
    competing_series,
    counted_of,
    due_series,
    feeding_of,
    has_reason,
    headers_of,
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
from dicomnode.store.ops.priors import is_fetched
from dicomnode.store.receive.rejected_images import set_rejected_aside
from dicomnode.store.states import SeriesStatus
from dicomnode.store.tables import Series

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
        """See, then write what follows: whoever receives waits for the writing alone."""
        self._compare_pixels(series_id)
        with self.store.read() as session:
            series = session.get_one(Series, series_id)
            stamp = stamp_of(series)
            if series.status != SeriesStatus.RECEIVING:
                return
            write = self._seen(session, series)
        if write is None:
            return
        with self.store.write() as session:
            series = locked_series(session, series_id)
            # What has come since made it due again.
            if stamp_of(series) == stamp:
                write(session, series)

    def _seen(self, session: Session, series: Series) -> Callable[[Session, Series], bool] | None:
        """What is to be written of a series; None: nothing yet. Writing it says False where it is still due."""
        if self._is_too_many(session, series):
            return self._refuse_too_many
        slices = slices_of(session, series)
        if slices.statuses is None:
            return None  # a file came since its pixels could have been compared; the series is still due
        if not slices.any_counts:
            # Nothing to wait for: should a slice come after all, it reopens the series.
            return lambda session, series: _settle(session, series, slices) and _set_aside(session, series, slices)
        decision = self._decide(session, series, slices)
        if decision.wait_until is not None:
            until = decision.wait_until
            return lambda session, series: _settle(session, series, slices) and _wait(session, series, until)
        seen = weighed(session, series, slices, self._protocols(session, series))
        return lambda session, series: (
            _settle(session, series, slices) and self._complete(session, series, slices, seen, decision.why)
        )

    def _protocols(self, session: Session, series: Series) -> Sequence[Protocol]:
        """Of a study that this node had an archive send, the one for such; else all others."""
        fetched = is_fetched(session, series.study_uid)
        return tuple(one for one in self.config.protocol if (one.name == self.config.priors.protocol) == fetched)

    def _refuse_too_many(self, session: Session, series: Series) -> bool:
        most = self.config.reception.max_series_instances
        refuse_series(session, series, refusal=Refusal.TOO_MANY_INSTANCES, detail=f"more than {most}")
        log.warning("series refused", extra={**_facts(series), "refusal": Refusal.TOO_MANY_INSTANCES.value})
        return True

    def _complete(self, session: Session, series: Series, slices: Slices, seen: Weighed, why: str) -> bool:
        if seen.refusal is not None:
            note_decision(session, series, why)
            fault = seen.refusal
            refuse_series(session, series, refusal=fault.refusal, detail=with_set_aside(fault.detail, slices))
            log.warning("series refused", extra={**_facts(series), "refusal": fault.refusal.value})
            return True
        if others_of(other_series_of_study(session, series)) != list(seen.others):
            return False  # another reconstruction was complete meanwhile; the series is still due
        note_decision(session, series, why)
        self._choose(session, series, len(slices.used), seen)
        return True

    def _postpone(self, series_id: int) -> None:
        # Where the database is away, nothing needs to be postponed.
        with contextlib.suppress(SQLAlchemyError), self.store.write() as session:
            wait_for(session, locked_series(session, series_id), time.time() + POSTPONED_S)

    def _compare_pixels(self, series_id: int) -> None:
        """Have decoded, outside any transaction, what shares a SOP instance UID: a header update, or a conflict?"""
        with self.store.read() as session:
            if self._is_too_many(session, session.get_one(Series, series_id)):
                return
            ambiguous = [
                row
                for group in shared(counted_of(session, series_id), lambda one: one.sop_instance_uid)
                for row in group
            ]
        unknown = [row for row in ambiguous if not row.pixel_digest]
        digests = {row.id: self._digest_of(self.config.spool_dir.absolute() / row.path) for row in unknown}
        if digests:
            with self.store.write() as session:
                set_pixel_digests(session, digests)

    def _is_too_many(self, session: Session, series: Series) -> bool:
        """Whether a series has more instances than it may: not all of them are looked at to find out."""
        return has_reason(session, series, Refusal.TOO_MANY_INSTANCES)

    def _decide(self, session: Session, series: Series, slices: Slices) -> Decision:
        now = time.time()
        feeding = feeding_of(session, series, stale_before=now - self.config.reception.idle_timeout_s)
        contiguous, coverage_mm = extent_seen(slices)
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

    def _choose(self, session: Session, series: Series, slices: int, seen: Weighed) -> None:
        series.acquisition_key = seen.acquisition_key
        session.flush()
        candidate = seen.candidates[series.id]
        planned, better = [], ""
        for protocol in seen.protocols:
            rival = competing_series(session, series, protocol.name)
            if rival is not None and rival.id != series.id and not _beats(session, candidate, rival, protocol, seen):
                better = rival.series_uid
            else:
                planned.append(self._planned_job(protocol, candidate))
        if planned:
            choose_series(session, series, planned, reason=f"{candidate.kernel} kernel, {candidate.spacing_mm:.1f} mm")
        else:
            pass_over_series(session, series, better=better)
        log.info("series complete", extra={**_facts(series), "status": series.status, "slices": slices})

    def _planned_job(self, protocol: Protocol, candidate: Candidate) -> PlannedJob:
        first = is_first_choice(candidate, protocol.preferred_thickness_mm)
        wait_s = 0.0 if first else self.config.reception.selection_wait_s
        return PlannedJob(protocol.name, protocol.models, protocol.priority, wait_s)


def _settle(session: Session, series: Series, slices: Slices) -> bool:
    """Write which files count; False where a note rejected others than were seen, and the series is still due."""
    if set_rejected_aside(session, series) != slices.rejected:
        return False
    set_instance_statuses(session, dict(slices.statuses or {}))
    return True


def _set_aside(session: Session, series: Series, slices: Slices) -> bool:
    set_series_aside(session, series, refusal=reason_of(slices))
    return True


def _wait(session: Session, series: Series, until: float) -> bool:
    wait_for(session, series, until)
    return True


def _beats(session: Session, candidate: Candidate, rival: Series, protocol: Protocol, seen: Weighed) -> bool:
    """Whether a reconstruction is better than the one that a job runs on; of two that are equal the first stays."""
    other = seen.candidates.get(rival.id) or candidate_of(headers_of(session, rival))
    return rank(candidate, protocol.preferred_thickness_mm) < rank(other, protocol.preferred_thickness_mm)


def _facts(series: Series) -> dict[str, str]:
    return {"study_uid": series.study_uid, "series_uid": series.series_uid}

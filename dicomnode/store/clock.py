"""What a step of the clock does to the times in the database: all that is waited for stays as far away as it was.

Rows hold seconds since the epoch, since several machines read them. Where the clock is set, every time that was written
before is wrong by as much: moved by it, a series waits for what is left of its quiet time, and not for the hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from dicomnode.store.states import InstanceStatus
from dicomnode.store.tables import (
    Association,
    AuditReader,
    Base,
    ClinicalText,
    ClinicalValue,
    Commitment,
    Event,
    FhirQuestion,
    Instance,
    Job,
    LaterSearch,
    MergedPatient,
    Outbox,
    PriorSearch,
    Series,
    Statement,
    Storage,
    StudyPatient,
)

SAME_STEP_S = 5.0
"""Two processes that notice a step of about this size tell of the same one ..."""
SAME_STEP_WITHIN_S = 600.0
"""... within this time."""
_FRESH_S = 1.0
"""What was written since the clock was set forward, before that was noticed, is younger than this."""

_Column = Any
_TIMES: tuple[tuple[type[Base], tuple[_Column, ...], tuple[ColumnElement[bool], ...]], ...] = (
    (Association, (Association.opened_at, Association.last_seen_at, Association.ended_at), ()),
    (
        Series,
        (Series.first_instance_at, Series.last_instance_at, Series.due_at, Series.not_performed_due_at),
        (),
    ),
    (Instance, (Instance.received_at,), (Instance.status != InstanceStatus.PURGED,)),
    (Job, (Job.ready_at, Job.lease_until, Job.finished_at), ()),
    (Outbox, (Outbox.created_at, Outbox.next_attempt_at, Outbox.sent_at, Outbox.lease_until), ()),
    (
        FhirQuestion,
        (
            *(FhirQuestion.made_at, FhirQuestion.asked_at, FhirQuestion.answered_at, FhirQuestion.settled_at),
            *(FhirQuestion.next_try_at, FhirQuestion.changed_at),
        ),
        (),
    ),
    (ClinicalValue, (ClinicalValue.arrived_at,), ()),
    (ClinicalText, (ClinicalText.arrived_at,), ()),
    (Statement, (Statement.arrived_at,), ()),
    (MergedPatient, (MergedPatient.merged_at,), ()),
    (StudyPatient, (StudyPatient.seen_at, StudyPatient.checked_at), ()),
    (AuditReader, (AuditReader.sends_until,), ()),
    (PriorSearch, (PriorSearch.made_at, PriorSearch.next_try_at), ()),
    (LaterSearch, (LaterSearch.made_at, LaterSearch.next_try_at), ()),
    (Commitment, (Commitment.requested_at, Commitment.answered_at), (Commitment.concluded_at.is_(None),)),
)
"""What is compared with the clock. Times that are only told, such as those of events, stay as they were written."""


@dataclass(frozen=True, slots=True)
class Step:
    """The clock was set: it says ``now``, which is ``by_s`` later (earlier, where negative) than it would have said.

    ``seen_by``: the process that noticed it.
    """

    by_s: float
    now: float
    seen_by: str


def record_step(session: Session, step: Step) -> bool:
    """Move every time that was written before the step; False where another process has done it for the same step."""
    row = session.scalars(select(Storage).order_by(Storage.id).limit(1)).one_or_none()
    if row is not None:
        if _is_same(row, step):
            return False
        row.stepped_at, row.stepped_by_s, row.stepped_on = step.now, step.by_s, step.seen_by
        row.seen_at = step.now
    for table, columns, where in _TIMES:
        for column in columns:
            statement = update(table).where(*where, _was_written_before(column, step))
            session.execute(statement.values({column.key: column + step.by_s}))
    session.add(Event(at=step.now, subject="clock", name="stepped", detail={"by_s": round(step.by_s, 3)}))
    return True


def last_seen_at(session: Session) -> float | None:
    """When a node last ran on this database, by its clock; None where that was never said."""
    return session.scalar(select(Storage.seen_at).order_by(Storage.id).limit(1))


def note_seen(session: Session, now: float) -> None:
    """A node runs on this database now."""
    session.execute(update(Storage).values(seen_at=now))


def _is_same(row: Storage, step: Step) -> bool:
    return (
        row.stepped_at is not None
        and row.stepped_on != step.seen_by
        and abs(row.stepped_by_s - step.by_s) <= SAME_STEP_S
        and abs(row.stepped_at - step.now) <= SAME_STEP_WITHIN_S
    )


def _was_written_before(column: _Column, step: Step) -> ColumnElement[bool]:
    """Back: all that lies ahead now. Forward: all that lies behind; what does not is no later than it was to be."""
    before: ColumnElement[bool] = column > step.now if step.by_s < 0 else column < step.now - _FRESH_S
    return before

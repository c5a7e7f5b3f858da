"""Seconds of each stage of jobs, as the events in the database of a node tell them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicomnode.store.states import JobTask
from dicomnode.store.tables import Event, Job

STAGES = {
    "queue": ("queued", "claimed"),
    "read, infer": ("claimed", "inferred"),
    "encode": ("inferred", "encoded"),
    "send": ("encoded", "stored"),
    "prove": ("stored", "proven"),
}
"""From one moment to the next; between ``inferred`` and ``encoded`` a job may give way to another."""
_MOMENTS = {
    ("job", "ready"): "queued",
    ("job", "claim"): "claimed",
    ("run", "succeed"): "inferred",
    ("job", "encoded"): "encoded",
    ("outbox", "sent"): "stored",
    ("job", "delivered"): "proven",
}


@dataclass(frozen=True, slots=True)
class Course:
    """When what happened to a job that is done, seconds since the epoch: the first claim, the last of all else."""

    moments: dict[str, float]
    is_disturbed: bool

    def seconds(self, stage: str) -> float:
        """Of one stage."""
        begin, end = STAGES[stage]
        return self.moments[end] - self.moments[begin]


def course_of(events: Iterable[Event]) -> Course:
    """From the events of one job, in their order. One that was claimed more than once is disturbed."""
    moments: dict[str, float] = {}
    claims = 0
    for event in events:
        name = _MOMENTS.get((event.subject, event.name), "")
        claims += name == "claimed"
        if name and not (name == "claimed" and claims > 1):
            moments[name] = event.at
    return Course(moments, claims > 1)


def courses(session: Session) -> list[Course]:
    """Of all analyses that are done, in the order of their claims."""
    done = select(Job.id).where(Job.status == "done", Job.task == JobTask.ANALYSIS)
    by_job: dict[int, list[Event]] = {}
    for event in session.scalars(select(Event).where(Event.job_id.in_(done)).order_by(Event.id)):
        assert event.job_id is not None
        by_job.setdefault(event.job_id, []).append(event)
    return sorted((course_of(events) for events in by_job.values()), key=lambda course: course.moments["claimed"])


def busy_stretch(found: list[Course], waited_s: float = 1.0) -> list[Course]:
    """The longest row of jobs of which each had waited before it was claimed: the node had no pause between them."""
    best: list[Course] = []
    row: list[Course] = []
    for course in found:
        row = [*row, course] if course.seconds("queue") > waited_s else []
        best = max(best, row, key=len)
    return best

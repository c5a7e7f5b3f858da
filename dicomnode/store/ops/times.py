"""How long jobs took, stage by stage, from the last image to proof in the PACS: read off their history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from dicomnode.store.among import among
from dicomnode.store.states import JobEvent, JobTask
from dicomnode.store.tables import Event, Job, Series

ENDS = (JobEvent.DELIVERED, JobEvent.UNPROVEN)
TOTAL = "complete_to_pacs"
STAGES = ("receive", "assemble", "wait", "queue", "work", "deliver", TOTAL)
"""First to last image; to the job; to the queue; to a worker; to encoded results; to proof; last image to proof."""


@dataclass(frozen=True, slots=True)
class JobTimes:
    """A job whose results are in the PACS for the first time. ``stage_s``: seconds by stage; see :data:`STAGES`."""

    protocol: str
    stage_s: Mapping[str, float]


def times_of(session: Session, *which: ColumnElement[bool], limit: int = 500) -> Iterator[JobTimes]:
    """The newest of these jobs that are analyses and whose results are in the PACS for the first time."""
    found = select(Job.id, Job.protocol, Series.first_instance_at, Series.last_instance_at)
    found = found.join(Series, Series.id == Job.series_id).where(Job.task == JobTask.ANALYSIS, *which)
    jobs = session.execute(found.order_by(Job.id.desc()).limit(limit)).all()
    history: dict[int | None, list[tuple[str, float]]] = {job[0]: [] for job in jobs}
    told = select(Event.job_id, Event.name, Event.at).where(
        among(Event.job_id, [job[0] for job in jobs]), Event.subject == "job"
    )
    for job_id, name, at in session.execute(told.order_by(Event.id)):
        history[job_id].append((name, at))
    for job_id, protocol, first_at, last_at in jobs:
        seconds = stage_seconds(history[job_id], first_at, last_at)
        if seconds:
            yield JobTimes(protocol, seconds)


def stage_seconds(events: Sequence[tuple[str, float]], first_image_at: float, last_image_at: float) -> dict[str, float]:
    """Seconds by stage of a job whose results are in the PACS for the first time; empty for any other.

    Parameters
    ----------
    events : name and moment of each event of the job, in order.

    >>> told = [("created", 12.0), ("ready", 12.5), ("claim", 13.0), ("encoded", 20.0), ("delivered", 24.0)]
    >>> stage_seconds(told, 4.0, 10.0)["complete_to_pacs"], stage_seconds(told, 4.0, 10.0)["work"]
    (14.0, 7.0)
    >>> stage_seconds([*told, ("redeliver", 30.0), ("delivered", 40.0)], 4.0, 10.0)
    {}
    """
    at: dict[str, float] = {}
    for name, moment in events:
        at[name] = moment if name in (JobEvent.CLAIM, JobEvent.ENCODED) else at.get(name, moment)
    ends = [moment for name, moment in events if name in ENDS]
    if len(ends) != 1 or not {"created", JobEvent.CLAIM, JobEvent.ENCODED} <= at.keys():
        return {}
    ready = at.get(JobEvent.READY, at["created"])
    marks = (first_image_at, last_image_at, at["created"], ready, at[JobEvent.CLAIM], at[JobEvent.ENCODED], ends[0])
    seconds = {stage: max(0.0, marks[i + 1] - marks[i]) for i, stage in enumerate(STAGES[:-1])}
    return {**seconds, TOTAL: max(0.0, ends[0] - last_image_at)}

"""Where the seconds of a job went: one log line once it is over, from the rows, so that a restart costs none of it."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import ScalarSelect, Select, event, func, select
from sqlalchemy.orm import Session

from dicomnode.store.states import JobEvent, JobStatus
from dicomnode.store.tables import Event, Job, Outbox, Run

log = logging.getLogger(__name__)


def tell_when_committed(session: Session, job: Job) -> None:
    """Log that a job is over, with the seconds of each stage, once this transaction is committed."""
    status = JobStatus(job.status)
    facts = {
        "job_id": job.id,
        "task": job.task,
        "study_uid": job.study_uid,
        "protocol": job.protocol,
        "status": status,
        **seconds_by_stage(session, job),
    }
    is_short = status is JobStatus.UNDELIVERED
    level, message = (logging.WARNING, "job ended undelivered") if is_short else (logging.INFO, "job done")
    event.listen(session, "after_commit", lambda _: log.log(level, message, extra=facts), once=True)


def seconds_by_stage(session: Session, job: Job) -> dict[str, object]:
    """Seconds since the job was made, and of its stages as far as its last attempt went through them.

    ``queue_s``, ``read_s``, ``infer_s`` (by model), ``encode_s``, ``deliver_s`` (until the last result was sent),
    ``prove_s`` (until the last was proven), ``total_s``.
    """
    claimed, encoded, sent, proven = session.execute(_moments(job)).one()
    columns = select(Run.model, Run.started_at, Run.finished_at)
    runs = [
        run
        for run in session.execute(columns.where(Run.job_id == job.id).order_by(Run.position))
        if claimed is not None and run.started_at is not None and run.started_at >= claimed
    ]
    began = min((run.started_at for run in runs if run.started_at is not None), default=None)
    inferred = max((run.finished_at for run in runs if run.finished_at is not None), default=claimed)
    spans = {
        "queue_s": (job.created_at, claimed),
        "read_s": (claimed, began),
        "encode_s": (inferred, encoded),
        "deliver_s": (encoded, sent),
        "prove_s": (sent, proven),
        "total_s": (job.created_at, job.finished_at),
    }
    seconds: dict[str, object] = {name: span for name, ends in spans.items() if (span := _span(*ends)) is not None}
    return {**seconds, "infer_s": {run.model: _span(run.started_at, run.finished_at) for run in runs}}


def _moments(job: Job) -> Select[*tuple[Any, ...]]:
    """When a job was claimed, encoded, sent and proven for the last time, as one row."""
    claimed, encoded = (_last(job, name) for name in (JobEvent.CLAIM, JobEvent.ENCODED))
    return select(claimed, encoded, func.max(Outbox.sent_at), func.max(Outbox.proven_at)).where(Outbox.job_id == job.id)


def _last(job: Job, name: str) -> ScalarSelect[float | None]:
    mine = (Event.job_id == job.id, Event.subject == "job", Event.name == name)
    return select(func.max(Event.at)).where(*mine).scalar_subquery()


def _span(begin: float | None, end: float | None) -> float | None:
    """Seconds between two moments that are known and in this order."""
    return round(end - begin, 2) if begin is not None and end is not None and end >= begin else None

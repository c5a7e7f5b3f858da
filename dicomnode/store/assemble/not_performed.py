"""Studies that gave no result: which are to be decided on, the reasons to report, and the job that reports one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from dicomnode.errors import Refusal
from dicomnode.records import Header
from dicomnode.store.queue.rejections import Subject, create_note
from dicomnode.store.states import InstanceStatus, JobStatus, JobTask, SeriesStatus
from dicomnode.store.tables import Instance, Job, Series

REPORT_KEY = "not performed"
"""Acquisition key of a report: one for each study and protocol."""

_WITH_RESULT = (
    JobStatus.DELIVERING,
    JobStatus.DONE,
    JobStatus.SENT_UNPROVEN,
    JobStatus.UNDELIVERED,
    JobStatus.CANCELLED,  # an operator's decision: nothing was refused
)
_WITHOUT = {
    JobStatus.REFUSED: "",
    JobStatus.FAILED: Refusal.RUN_FAILED.value,
    JobStatus.QUARANTINED: Refusal.RUN_FAILED.value,
}
_UNSUITED = (
    Refusal.NOT_CT,
    Refusal.SECONDARY_CAPTURE,
    Refusal.OWN_RESULT,
    Refusal.UNREADABLE,
    Refusal.INVALID_UID,
    Refusal.REJECTED,
    Refusal.AFTER_RETENTION,
)
"""Instances with these reasons are no attempt at a scan that a protocol could want."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPerformedReason:
    """The reason why a series, or its job, gave no result.

    Attributes
    ----------
    headers : of the images that were, or would have been, read; what protocols are matched against.
    protocol : of the job; empty for a series that never became one.
    is_partial : no image could be read to its end: what the headers lack may have been there.
    """

    series_id: int
    refusal: str
    detail: str
    headers: tuple[Header, ...]
    protocol: str = ""
    is_partial: bool = False


def due_studies(session: Session, now: float, limit: int = 50) -> Sequence[str]:
    """Studies to decide on now, longest due first."""
    statement = select(Series.study_uid).where(Series.not_performed_due_at <= now).order_by(Series.not_performed_due_at)
    return list(dict.fromkeys(session.scalars(statement.limit(limit))))


def is_undecided(session: Session, series: Sequence[Series]) -> bool:
    """Whether a study may still get a result: a series is being received, or an analysis has not ended."""
    if any(one.status == SeriesStatus.RECEIVING for one in series):
        return True
    underway = (JobStatus.WAITING, JobStatus.QUEUED, JobStatus.RUNNING)
    analysis = (Job.study_uid == series[0].study_uid, Job.task == JobTask.ANALYSIS, Job.status.in_(underway))
    return bool(session.scalar(select(exists().where(*analysis))))


def postpone_decision(series: Iterable[Series], until: float) -> None:
    """Decide on the study at ``until``."""
    for one in series:
        one.not_performed_due_at = until if one.not_performed_due_at is not None else None


def close_decision(series: Iterable[Series]) -> None:
    """Close the decision on a study, until something more of it is refused."""
    for one in series:
        one.not_performed_due_at = None


def has_result(session: Session, study_uid: str, protocol: str) -> bool:
    """Whether any analysis of a study by a protocol came to a result."""
    analysis = (Job.study_uid == study_uid, Job.protocol == protocol, Job.task == JobTask.ANALYSIS)
    return bool(session.scalar(select(exists().where(*analysis, Job.status.in_(_WITH_RESULT)))))


def not_performed_reasons(session: Session, series: Sequence[Series]) -> list[NotPerformedReason]:
    """Why each job and series of a study gave no result; those nearest to one first: jobs, then series by images."""
    failed = select(Job).where(
        Job.study_uid == series[0].study_uid, Job.task == JobTask.ANALYSIS, Job.status.in_(list(_WITHOUT))
    )
    jobs = [
        NotPerformedReason(
            series_id=job.series_id,
            refusal=_WITHOUT[JobStatus(job.status)] or job.refusal,
            detail=_detail(job),
            headers=(),
            protocol=job.protocol,
        )
        for job in session.scalars(failed.order_by(Job.id.desc()))
    ]
    refused = [one for one in series if one.status in (SeriesStatus.REFUSED, SeriesStatus.NOT_USED)]
    found = [_of_series(one, _headers(session, one)) for one in refused]
    wanted = [one for one in found if one.headers and one.refusal not in _UNSUITED]
    # Of what nobody could read, a report can be filed where at least the study was named.
    broken = [(one, _named(session, one)) for one in refused if one.refusal == Refusal.UNREADABLE]
    wanted += [replace(_of_series(one, headers), is_partial=True) for one, headers in broken if headers]
    return [*jobs, *sorted(wanted, key=lambda one: (-len(one.headers), one.series_id))]


def _of_series(one: Series, headers: tuple[Header, ...]) -> NotPerformedReason:
    return NotPerformedReason(series_id=one.id, refusal=one.refusal, detail=one.refusal_detail, headers=headers)


def _refusal(job: Job) -> str:
    return _WITHOUT[JobStatus(job.status)] or job.refusal


def _detail(job: Job) -> str:
    """What a failed run says is for the operator; what was refused is for the reader."""
    return job.error if job.status == JobStatus.REFUSED else ""


def _headers(session: Session, series: Series) -> tuple[Header, ...]:
    """Headers of the slices; where there are none, of what was set aside, such as a scout."""
    mine = (Instance.series_id == series.id, Instance.status != InstanceStatus.PURGED)
    rows = session.scalars(select(Instance).where(*mine, Instance.reason.not_in(_UNSUITED)).order_by(Instance.id)).all()
    slices = [row.header for row in rows if row.reason == ""]
    return tuple(slices or [row.header for row in rows])


def _named(session: Session, series: Series) -> tuple[Header, ...]:
    """What was read of the images of a series that name its study."""
    mine = (Instance.series_id == series.id, Instance.status != InstanceStatus.PURGED)
    rows = session.scalars(select(Instance).where(*mine).order_by(Instance.id)).all()
    return tuple(row.header for row in rows if row.header.get("StudyInstanceUID") == series.study_uid)


def plan_report(session: Session, series: Series, reason: NotPerformedReason, *, protocol: str, priority: str) -> bool:
    """A job that reports that a study was not processed; False where it has one already."""
    of = Subject(series.study_uid, series.accession_number, protocol, reason.series_id, priority)
    about = {"refusal": reason.refusal, "detail": reason.detail}
    return create_note(session, of, JobTask.NOT_PERFORMED, key=REPORT_KEY, about=about, ready=True) is not None

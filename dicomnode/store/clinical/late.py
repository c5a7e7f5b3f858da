"""Context that arrives when a study has results already: which studies it may concern, and how a job is amended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.orm import Session

from dicomnode.records import Patient
from dicomnode.store.clinical.patients import PatientKey, all_keys, patient_of
from dicomnode.store.locks import lock_job, lock_series
from dicomnode.store.queue.jobs import create_job, runs_of, supersede_job
from dicomnode.store.queue.runs import RunIdentity, source_paths
from dicomnode.store.states import JobStatus, JobTask
from dicomnode.store.tables import (
    ClinicalText,
    ClinicalValue,
    FhirQuestion,
    Job,
    MergedPatient,
    Series,
    Statement,
    StudyPatient,
)

UNDER_WAY = (JobStatus.WAITING, JobStatus.QUEUED, JobStatus.RUNNING)
HAS_RESULTS = (JobStatus.DELIVERING, JobStatus.DONE, JobStatus.SENT_UNPROVEN, JobStatus.UNDELIVERED)
"""A job in another state gathers its context itself when it reads its images."""


@dataclass(frozen=True, slots=True)
class StudyToCheck:
    """A study of a patient of whom something arrived. ``newest_at``: when the newest of it did."""

    study_uid: str
    patient: Patient
    newest_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledJob:
    """An analysis that has results.

    Attributes
    ----------
    runs : by the name of the model, with what they succeeded.
    findings : paths of their findings below the work folder.
    """

    job_id: int
    protocol: str
    runs: dict[str, RunIdentity]
    findings: tuple[str, ...]


def studies_to_check(session: Session, *, since: float, seen_since: float, slack_s: float) -> list[StudyToCheck]:
    """Studies of patients of whom anything arrived, was taken back or was merged since a moment.

    Parameters
    ----------
    seen_since : older studies are left as they are.
    slack_s : what arrived this long before a study was checked may have been committed after.
    """
    found: dict[str, StudyToCheck] = {}
    for key, newest_at in _arrivals(session, since).items():
        keys = all_keys(session, Patient(patient_id=key[0], issuer=key[1]))
        of_patient = tuple_(StudyPatient.patient_id, StudyPatient.issuer).in_(keys)
        rows = session.scalars(select(StudyPatient).where(of_patient, StudyPatient.seen_at >= seen_since))
        for row in rows:
            if newest_at > row.checked_at - slack_s:
                known = found.get(row.study_uid)
                newest = max(newest_at, known.newest_at) if known else newest_at
                found[row.study_uid] = StudyToCheck(row.study_uid, patient_of(row), newest)
    return list(found.values())


def _arrivals(session: Session, since: float) -> dict[PatientKey, float]:
    newest: dict[PatientKey, float] = {}
    for table, at in (
        (ClinicalValue, ClinicalValue.arrived_at),
        (ClinicalText, ClinicalText.arrived_at),
        (Statement, Statement.arrived_at),  # what was taken back leaves no other trace
        (MergedPatient, MergedPatient.merged_at),
        (FhirQuestion, FhirQuestion.changed_at),
    ):
        for patient_id, issuer, moment in session.execute(
            select(table.patient_id, table.issuer, func.coalesce(at, 0.0)).where(at >= since)
        ):
            newest[patient_id, issuer] = max(moment, newest.get((patient_id, issuer), 0.0))
    return newest


def mark_checked(session: Session, study_uid: str, at: float) -> None:
    """What has arrived so far is dealt with."""
    session.execute(update(StudyPatient).where(StudyPatient.study_uid == study_uid).values(checked_at=at))


def is_under_way(session: Session, study_uid: str) -> bool:
    """Whether an analysis of a study is still to have results: it may have gathered its context already."""
    mine = (Job.study_uid == study_uid, Job.task == JobTask.ANALYSIS, Job.status.in_(UNDER_WAY))
    return session.scalar(select(Job.id).where(*mine).limit(1)) is not None


def settled_jobs(session: Session, study_uid: str) -> list[SettledJob]:
    """The analyses of a study that have results."""
    mine = (Job.study_uid == study_uid, Job.task == JobTask.ANALYSIS, Job.status.in_(HAS_RESULTS))
    return [_settled(session, job) for job in session.scalars(select(Job).where(*mine).order_by(Job.id))]


def _settled(session: Session, job: Job) -> SettledJob:
    runs = runs_of(session, job.id)
    return SettledJob(
        job_id=job.id,
        protocol=job.protocol,
        runs={run.model: RunIdentity(run.model_digest, run.inputs_digest) for run in runs},
        findings=tuple(run.findings_path for run in runs),
    )


def amend_job(session: Session, job_id: int, *, models: Sequence[str], changed: Collection[str]) -> bool:
    """Put a new job in the place of one whose context has changed; False where it is over, or its images are gone.

    Parameters
    ----------
    changed : names of the variables and sections that differ; never their values.
    """
    series_id = session.get_one(Job, job_id).series_id
    (series,) = lock_series(session, Series.id == series_id)
    job = lock_job(session, job_id)
    if job.status not in HAS_RESULTS or not source_paths(session, series_id):
        return False
    supersede_job(session, job, reason=f"context came later: {', '.join(changed)}")
    create_job(session, series, protocol=job.protocol, models=models, priority=job.priority, wait_s=0.0)
    return True

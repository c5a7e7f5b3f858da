"""What execution reads and writes: the images of a job, its runs, and how they ended. Guarded by the claim's token."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicomnode.decision import Outcome, ScoreOutcome, Told
from dicomnode.errors import LeaseLost
from dicomnode.store.locks import lock_series
from dicomnode.store.queue.jobs import Claim, interrupt_runs, leased_job, runs_of
from dicomnode.store.retention import is_taken_in_part
from dicomnode.store.states import InstanceStatus, JobEvent, JobStatus, JobTask, RunEvent, RunStatus
from dicomnode.store.tables import Instance, Job, Result, Run, Series
from dicomnode.store.transitions import move, note


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run that has to be done. ``crashes``: how often it killed its worker."""

    run_id: int
    model: str
    crashes: int


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What decides the findings of a run beside the images: a run that succeeded with another identity is outdated.

    Attributes
    ----------
    model_digest : of the bundle.
    inputs_digest : of the context and the earlier findings that it used; empty where it used none.
    """

    model_digest: str
    inputs_digest: str


def source_paths(session: Session, series_id: int) -> Sequence[str]:
    """Spool paths of the images that count, oldest first: the last one carries the newest identity.

    Empty where retention has taken any that did not come again: a part of a series must never be run.
    """
    if is_taken_in_part(session, series_id):
        return []
    statement = (
        select(Instance.path)
        .where(Instance.series_id == series_id, Instance.status == InstanceStatus.USED)
        .order_by(Instance.received_at, Instance.id)
    )
    return session.scalars(statement).all()


def pending_runs(session: Session, claim: Claim, wanted: Mapping[str, RunIdentity]) -> list[RunRow]:
    """The job's runs that are to be done, put back to pending.

    A run that succeeded counts only while its model and its inputs are still those it succeeded with.

    Parameters
    ----------
    wanted : identity of each run now, by the name of the model.

    Raises
    ------
    LeaseLost : another worker owns the job now.
    """
    job = leased_job(session, claim)
    _guard(job, claim)
    rows = []
    for run in runs_of(session, job.id):
        now = wanted.get(run.model)
        outdated = run.status == RunStatus.SUCCEEDED and now != RunIdentity(run.model_digest, run.inputs_digest)
        if outdated or run.status in (RunStatus.FAILED, RunStatus.QUARANTINED):
            move(session, run, RunEvent.RESET)
        if run.status != RunStatus.SUCCEEDED:
            rows.append(RunRow(run.id, run.model, run.crashes))
    return rows


def keep_level(session: Session, claim: Claim, *, brain_hu: float | None) -> None:
    """Keep at what attenuation the brain lies in the images of a job.

    Raises
    ------
    LeaseLost : the job was superseded, cancelled or taken over.
    """
    job = leased_job(session, claim)
    _guard(job, claim)
    job.brain_hu = brain_hu


def start_run(session: Session, claim: Claim, row: RunRow) -> None:
    """The worker begins with a run."""
    _guard(leased_job(session, claim), claim)
    run = session.get_one(Run, row.run_id)
    move(session, run, RunEvent.START, attempts=run.attempts + 1, started_at=time.time(), detail={"model": run.model})


def finish_run(
    session: Session,
    claim: Claim,
    row: RunRow,
    *,
    findings_path: str,
    identity: RunIdentity,
    device: str,
    outcomes: Sequence[Outcome] = (),
    scores: Sequence[ScoreOutcome] = (),
    made_do: str = "",
) -> None:
    """The findings are on disk; what they come to is kept with the run, and told by its event.

    Parameters
    ----------
    made_do : with what the run made do, for want of memory.
    """
    _guard(leased_job(session, claim), claim)
    told: list[Told] = [*outcomes, *scores]
    move(
        session,
        session.get_one(Run, row.run_id),
        RunEvent.SUCCEED,
        detail={
            "model": row.model,
            "digest": identity.model_digest,
            "device": device,
            **({"too little memory": made_do} if made_do else {}),
            **{outcome.finding: outcome.in_words() for outcome in told},
        },
        outcomes=[outcome.as_dict() for outcome in outcomes],
        scores=[score.as_dict() for score in scores],
        findings_path=findings_path,
        model_digest=identity.model_digest,
        inputs_digest=identity.inputs_digest,
        device=device,
        finished_at=time.time(),
        error="",
    )


def succeeded_findings(session: Session, job_id: int) -> list[str]:
    """Paths of the findings of all runs, below the work folder, in the protocol's order."""
    return [run.findings_path for run in runs_of(session, job_id)]


def findings_by_model(session: Session, job_id: int) -> dict[str, str]:
    """Paths of the findings of the runs that have succeeded, below the work folder, by the name of the model."""
    runs = runs_of(session, job_id)
    return {run.model: run.findings_path for run in runs if run.status == RunStatus.SUCCEEDED}


def has_results(session: Session, job_id: int) -> bool:
    """Whether results of the job are stored."""
    return session.scalar(select(Result.id).where(Result.job_id == job_id).limit(1)) is not None


def note_context(session: Session, claim: Claim, *, known: Sequence[str], contradict: Mapping[str, int]) -> None:
    """Tell in the history of a job what is known of the patient, and how much contradicts; no values.

    Raises
    ------
    LeaseLost : another worker owns the job now.
    """
    job = leased_job(session, claim)
    _guard(job, claim)
    note(session, job, "context", detail={"known": list(known), "contradict": dict(contradict)})


def refuse_job(session: Session, claim: Claim, *, run: RunRow | None, refusal: str, detail: str) -> None:
    """The images cannot be read, or do not fit the model: the job ends with a coded reason.

    Parameters
    ----------
    run : that refused them; None where they could not be read.
    """
    lock_series(session, Series.id == claim.series_id)
    _guard(leased_job(session, claim), claim)
    error = f"{refusal}: {detail}" if detail else refusal
    if run is not None:
        move(session, session.get_one(Run, run.run_id), RunEvent.FAIL, error=error, finished_at=time.time())
    move(
        session,
        leased_job(session, claim),
        JobEvent.REFUSE,
        token=claim.token,
        detail={"refusal": refusal, "detail": detail},
        refusal=refusal,
        error=detail,
        lease_until=None,
        finished_at=time.time(),
    )
    _decide_on_study(session, claim)


def fail_job(
    session: Session,
    claim: Claim,
    *,
    error: str,
    retry_at: float | None,
    run: RunRow | None = None,
    crashed: bool = False,
    quarantine: bool = False,
    redo_runs: bool = False,
) -> None:
    """A run or the encoding failed: try again at ``retry_at``, or end the job when that is None or it is quarantined.

    Parameters
    ----------
    redo_runs : the findings on disk are of no use; the runs that made them are done again.

    Raises
    ------
    LeaseLost : another worker owns the job now; nothing is written.
    """
    lock_series(session, Series.id == claim.series_id)
    job = leased_job(session, claim)
    _guard(job, claim)
    if run is not None:
        _end_run(session, run, error=error, crashed=crashed, quarantine=quarantine)
    interrupt_runs(session, job)
    if redo_runs:
        _reset_succeeded(session, job)
    event = JobEvent.QUARANTINE if quarantine else JobEvent.FAIL if retry_at is None else JobEvent.RETRY
    over = event is not JobEvent.RETRY
    move(
        session,
        job,
        event,
        token=claim.token,
        detail={"error": error},
        error=error,
        lease_until=None,
        ready_at=job.ready_at if retry_at is None else retry_at,
        finished_at=time.time() if over else None,
    )
    if over and claim.task == JobTask.ANALYSIS:
        _decide_on_study(session, claim)


def _decide_on_study(session: Session, claim: Claim) -> None:
    """An analysis ended without a result; perhaps its study does."""
    session.execute(update(Series).where(Series.id == claim.series_id).values(not_performed_due_at=time.time()))


def _end_run(session: Session, row: RunRow, *, error: str, crashed: bool, quarantine: bool) -> None:
    run = session.get_one(Run, row.run_id)
    event = RunEvent.QUARANTINE if quarantine else RunEvent.FAIL
    crashes = run.crashes + 1 if crashed else run.crashes
    move(session, run, event, error=error, finished_at=time.time(), crashes=crashes, detail={"model": run.model})


def _reset_succeeded(session: Session, job: Job) -> None:
    for run in runs_of(session, job.id):
        if run.status == RunStatus.SUCCEEDED:
            move(session, run, RunEvent.RESET)


def _guard(job: Job, claim: Claim) -> None:
    if job.status != JobStatus.RUNNING or job.lease_token != claim.token:
        raise LeaseLost(f"job {job.id} is no longer held by claim {claim.token}")

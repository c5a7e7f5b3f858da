"""Results of a job: their rows, their deliveries, and the end of the job once all are delivered."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.orm import Session

from dicomnode.kinds import Kind
from dicomnode.records import EncodedResult
from dicomnode.store.deliver.stages import tell_when_committed
from dicomnode.store.locks import lock_studies
from dicomnode.store.queue.jobs import Claim, leased_job, supersede_job
from dicomnode.store.restored import was_restored_since
from dicomnode.store.states import JOB_INACTIVE, JobEvent, JobStatus, JobTask, OutboxEvent, OutboxStatus
from dicomnode.store.tables import Job, Outbox, Result
from dicomnode.store.transitions import move, note


@dataclass(frozen=True, slots=True)
class Delivery:
    """A destination for results: which kinds go there, whether research results may, and how arrival is proven."""

    destination: str
    kinds: tuple[Kind, ...]
    accept_research: bool
    proof: str = "query"


def store_results(
    session: Session, claim: Claim, results: Sequence[EncodedResult], deliveries: Iterable[Delivery]
) -> None:
    """Write results, outbox rows and the job's step to ``delivering``, in one transaction.

    A job that ran again after an operator's ``requeue`` may yield results that exist already, with the same UIDs:
    they keep their row and their bytes.

    Raises
    ------
    LeaseLost : another worker owns the job now; nothing is written.
    """
    if claim.task == JobTask.ANALYSIS:
        _supersede_reports(session, claim)
    job = leased_job(session, claim)
    move(session, job, JobEvent.ENCODED, token=claim.token, lease_until=None, detail={"results": len(results)})
    rows = [_result_row(session, job, result) for result in results]
    session.flush()
    for delivery in deliveries:
        for row in rows:
            if row.kind in delivery.kinds:
                outbox_row(session, row, delivery)


def _supersede_reports(session: Session, claim: Claim) -> None:
    """Supersede the reports that nothing was done for a study: it has a result now."""
    mine = (Job.study_uid == claim.study_uid, Job.protocol == claim.protocol, Job.task == JobTask.NOT_PERFORMED)
    reports = session.scalars(select(Job).where(*mine, Job.status.not_in(JOB_INACTIVE)).order_by(Job.id)).all()
    if reports:
        # A note about a report refers to its series.
        lock_studies(session, [claim.study_uid])
    for report in reports:
        supersede_job(session, report, reason="the study has a result now")


def _result_row(session: Session, job: Job, result: EncodedResult) -> Result:
    known = session.scalars(select(Result).where(Result.sop_instance_uid == result.sop_instance_uid)).one_or_none()
    if known is not None:
        known.job_id, known.superseded = job.id, False
        return known
    row = Result(
        job_id=job.id,
        kind=result.kind,
        study_uid=job.study_uid,
        series_uid=result.series_instance_uid,
        sop_instance_uid=result.sop_instance_uid,
        sop_class_uid=result.sop_class_uid,
        path=str(result.path),
        digest=result.sha256,
        size_bytes=result.size_bytes,
        research=result.research,
        created_at=time.time(),
    )
    session.add(row)
    return row


def outbox_row(session: Session, result: Result, delivery: Delivery) -> None:
    """Put a result into the outbox of a destination; one that was withdrawn or replaced there is sent again."""
    now = time.time()
    known = session.scalars(
        select(Outbox).where(Outbox.result_id == result.id, Outbox.destination == delivery.destination)
    ).one_or_none()
    # A note about results that are there already must never be held back.
    withheld = result.research and not delivery.accept_research and result.kind != Kind.REJECTION
    if known is not None:
        if known.status in (OutboxStatus.WITHDRAWN, OutboxStatus.REPLACED):
            event = OutboxEvent.WITHHOLD if withheld else OutboxEvent.REQUEUE
            fresh: dict[str, Any] = {"attempts": 0, "created_at": now, "next_attempt_at": now, "identity_by": ""}
            move(session, known, event, job_id=result.job_id, **fresh)
        return
    row = Outbox(
        result_id=result.id,
        job_id=result.job_id,
        destination=delivery.destination,
        proof=delivery.proof,
        status=OutboxStatus.WITHHELD if withheld else OutboxStatus.PENDING,
        created_at=now,
        next_attempt_at=now,
        # as after an unknown outcome: it is asked for before it is sent
        unanswered=int(_may_be_sent(session, result.job_id)),
    )
    session.add(row)
    session.flush()
    reason = {"reason": "the destination does not accept research results"} if withheld else {}
    note(
        session,
        row,
        "created",
        after=row.status,
        detail={"destination": row.destination, "kind": result.kind, **reason},
    )


def _may_be_sent(session: Session, job_id: int) -> bool:
    """Whether a job began before the database was brought back: its results may have been sent already."""
    began_at = session.scalar(select(Job.created_at).where(Job.id == job_id))
    return began_at is not None and was_restored_since(session, began_at)


def settle_deliveries(session: Session, job: Job) -> None:
    """Finish a job once nothing of it is left to send or to prove.

    ``job``: locked in this transaction.

    ``undelivered`` when a destination was given up or withdrawn, ``sent_unproven`` when one has no proof to offer, else
    ``done``.
    """
    if job.status != JobStatus.DELIVERING:
        return
    columns = (Outbox.destination, Outbox.status, Outbox.proven_by, underway().label("is_underway"))
    rows = session.execute(select(*columns).where(Outbox.job_id == job.id).order_by(Outbox.id)).all()
    if any(row.is_underway for row in rows):
        return
    statuses = [row.status for row in rows]
    event = JobEvent.UNPROVEN if OutboxStatus.SENT in statuses else JobEvent.DELIVERED
    if OutboxStatus.FAILED in statuses or OutboxStatus.WITHDRAWN in statuses:
        event = JobEvent.UNDELIVERED
    detail: dict[str, Any] = {"withheld": statuses.count(OutboxStatus.WITHHELD), "proof": _proofs(rows)}
    move(session, job, event, finished_at=time.time(), detail=detail)
    tell_when_committed(session, job)


def underway() -> ColumnElement[bool]:
    """Condition on an outbox row: it is still to be sent, is held, or was sent and is still to be proven."""
    unproven = (Outbox.status == OutboxStatus.SENT) & (Outbox.proof != "status")
    return Outbox.status.in_((OutboxStatus.PENDING, OutboxStatus.SENDING, OutboxStatus.HELD)) | unproven


def _proofs(rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[str, str]:
    """Destination -> what proved that it has its results; the weakest where they differ."""
    strength = {"commitment": 2, "query": 1, "status": 0}
    found: dict[str, str] = {}
    for row in rows:
        if row.status in (OutboxStatus.SENT, OutboxStatus.PROVEN):
            proof = row.proven_by or "status"
            found[row.destination] = min(proof, found.get(row.destination, proof), key=lambda name: strength[name])
    return found

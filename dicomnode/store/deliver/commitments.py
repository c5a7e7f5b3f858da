"""Storage commitment transactions in the database: stored before they are asked for, so that no report can be lost.

A report may come on the association of its request, on another one, after a restart of the node, or after the request
was repeated: whoever receives it writes it here, and the sender of the destination draws the conclusions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dicomnode.dicom.commitment import Report, read_report
from dicomnode.dicom.statuses import INVALID_ARGUMENT_VALUE, PROCESSING_FAILURE, SUCCESS
from dicomnode.store.deliver.proofs import SENT, Sent, read_sent
from dicomnode.store.engine import Store
from dicomnode.store.locks import lock_commitments
from dicomnode.store.states import JobStatus, OutboxStatus
from dicomnode.store.tables import Commitment, Job, Outbox

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """A transaction whose report is in, with what is still to be proven of it."""

    commitment_id: int
    committed: frozenset[str]
    failed: dict[str, int]
    sent: tuple[Sent, ...]


def open_commitment(session: Session, destination: str, transaction_uid: str, sent: Sequence[Sent]) -> None:
    """Store a transaction before it is asked for."""
    session.add(
        Commitment(
            transaction_uid=transaction_uid,
            destination=destination,
            requested_at=time.time(),
            deliveries=[one.outbox_id for one in sent],
            report={},
        )
    )


def record_report(session: Session, report: Report) -> bool:
    """Write down what a peer reported; False: no such transaction.

    The same report twice changes nothing, and one that names no instance says nothing: another may come.
    """
    found = lock_commitments(session, Commitment.transaction_uid == report.transaction_uid)
    if not found:
        return False
    commitment = found[0]
    if commitment.answered_at is None and (report.committed or report.failed):
        commitment.answered_at = time.time()
        commitment.report = {"committed": list(report.committed), "failed": report.failed}
    return True


def answered(session: Session, destination: str) -> list[Answered]:
    """Reports of which nothing was concluded yet, oldest first; takes no lock."""
    statement = select(Commitment).where(
        Commitment.destination == destination, Commitment.answered_at.is_not(None), Commitment.concluded_at.is_(None)
    )
    rows = session.scalars(statement.order_by(Commitment.id).limit(50)).all()
    return [
        Answered(
            commitment_id=row.id,
            committed=frozenset(row.report["committed"]),
            failed=dict(row.report["failed"]),
            sent=tuple(_sent_before(session, row)),
        )
        for row in rows
    ]


def _sent_before(session: Session, commitment: Commitment) -> list[Sent]:
    """The deliveries of a transaction, as far as they were not sent anew since."""
    statement = (
        SENT.join(Job, Job.id == Outbox.job_id)
        .where(
            Outbox.id.in_(commitment.deliveries),
            Outbox.status == OutboxStatus.SENT,
            Outbox.sent_at <= commitment.requested_at,
            Job.status == JobStatus.DELIVERING,
        )
        .order_by(Outbox.job_id, Outbox.id)
    )
    return read_sent(session, statement)


def conclude(session: Session, commitment_id: int) -> None:
    """The report was acted on."""
    session.get_one(Commitment, commitment_id).concluded_at = time.time()


def take_report(store: Store, information: Callable[[], Dataset]) -> int:
    """Write an N-EVENT-REPORT into the database; what both of its receivers, SCU and SCP, do with it.

    Parameters
    ----------
    information : decodes the Event Information; may raise what it likes.

    Returns
    -------
    the DIMSE status for the peer: success, invalid argument (no such transaction), or processing failure (try again).
    """
    try:
        report = read_report(information())
        with store.write() as session:
            known = record_report(session, report)
    except SQLAlchemyError as fault:
        logger.error("report not recorded", extra={"action": "commitment", "error": type(fault).__name__})
        return PROCESSING_FAILURE
    except Exception as fault:  # noqa: BLE001 (the boundary: whatever the peer sent must not cost its association)
        logger.warning("report not understood", extra={"action": "commitment", "error": type(fault).__name__})
        return INVALID_ARGUMENT_VALUE
    about = {"action": "commitment", "transaction_uid": report.transaction_uid, "known": known}
    logger.info(
        "commitment reported", extra={**about, "committed": len(report.committed), "failed": len(report.failed)}
    )
    return SUCCESS if known else INVALID_ARGUMENT_VALUE

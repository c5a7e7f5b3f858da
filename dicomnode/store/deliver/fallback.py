"""What a destination refuses, learned once, and what is sent in its place.

A refused result is ``replaced``: its job makes the stand-in where it does not exist yet, by going through the queue
once more (the runs are done, only the encoding is repeated), and sends that. From then on the destination gets the
stand-in at once, until somebody forgets the refusal or ``dicomnode check`` finds the class accepted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dicomnode.kinds import KINDS, Kind, kind_to_send, stand_ins
from dicomnode.store.deliver.outbox import Parcel
from dicomnode.store.deliver.results import Delivery, outbox_row, settle_deliveries
from dicomnode.store.locks import lock_job, lock_job_and_delivery
from dicomnode.store.states import JobEvent, JobStatus, OutboxEvent, OutboxStatus
from dicomnode.store.tables import Outbox, RefusedClass, Result
from dicomnode.store.transitions import move


@dataclass(frozen=True, slots=True)
class RefusalLine:
    """A SOP class that a destination refuses. ``how``: what it said."""

    destination: str
    sop_class_uid: str
    learned_at: float
    how: str


def refused_classes(session: Session, destination: str) -> frozenset[str]:
    """SOP classes that a destination is known to refuse."""
    return frozenset(session.scalars(select(RefusedClass.sop_class_uid).where(RefusedClass.destination == destination)))


def list_refusals(session: Session, destination: str = "") -> list[RefusalLine]:
    """The SOP classes that destinations are known to refuse, by destination."""
    statement = select(RefusedClass).order_by(RefusedClass.destination, RefusedClass.sop_class_uid)
    if destination:
        statement = statement.where(RefusedClass.destination == destination)
    rows = session.scalars(statement)
    return [RefusalLine(row.destination, row.sop_class_uid, row.learned_at, row.how) for row in rows]


def learn_refusal(session: Session, destination: str, sop_class_uid: str, *, how: str) -> bool:
    """Remember that a destination takes no instance of a class; False where that is known."""
    if sop_class_uid in refused_classes(session, destination):
        return False
    row = RefusedClass(destination=destination, sop_class_uid=sop_class_uid, learned_at=time.time(), how=how)
    session.add(row)
    session.flush()
    return True


def forget_refusals(session: Session, destination: str, sop_class_uids: Collection[str] | None = None) -> int:
    """Forget what a destination refuses, so that it is offered the first choice again; returns how many classes."""
    statement = delete(RefusedClass).where(RefusedClass.destination == destination)
    if sop_class_uids is not None:
        statement = statement.where(RefusedClass.sop_class_uid.in_(sop_class_uids))
    return int(session.execute(statement).rowcount)  # type: ignore[attr-defined]


def adapted(session: Session, deliveries: Iterable[Delivery]) -> list[Delivery]:
    """The deliveries with the kinds that each destination takes in place of those it refuses."""
    return [
        replace(delivery, kinds=kinds_for(session, delivery.destination, delivery.kinds)) for delivery in deliveries
    ]


def kinds_for(session: Session, destination: str, kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    """The kinds that a destination gets, where it is configured for ``kinds``."""
    refused = refused_classes(session, destination)
    return tuple(dict.fromkeys(kind_to_send(kind, refused) for kind in kinds))


def missing_kinds(session: Session, job_id: int) -> list[Kind]:
    """The stand-ins that a job still has to make."""
    return sorted({kind for _, kind, results in _unresolved(session, job_id) if not results})


def record_refused(session: Session, parcel: Parcel, *, how: str) -> bool:
    """Remember that a destination takes no instance of a SOP class, and send the stand-in of a refused result.

    Returns
    -------
    False where nothing can stand in: the delivery is untouched.

    Raises
    ------
    LeaseLost : the result was withdrawn or taken over in the meantime.
    """
    if KINDS[parcel.kind].stand_in is None:
        return False
    _, row = lock_job_and_delivery(session, parcel.job_id, parcel.outbox_id)
    learn_refusal(session, row.destination, parcel.sop_class_uid, how=how)
    instead = kinds_for(session, row.destination, [parcel.kind])[0]
    detail = {"reason": how, "instead": instead}
    move(session, row, OutboxEvent.REPLACE, token=parcel.token, detail=detail, lease_until=None, error="")
    send_stand_ins(session, parcel.job_id)
    return True


def send_stand_ins(session: Session, job_id: int, *, made: Collection[str] = ()) -> None:
    """Send the stand-ins for the replaced results of a job; have those made that do not exist yet.

    Parameters
    ----------
    made : kinds that were encoded just now: what is missing of them does not exist, and its delivery has failed.
    """
    job = lock_job(session, job_id)
    to_make = set()
    for row, kind, results in _unresolved(session, job_id):
        for result in results:
            outbox_row(session, result, Delivery(row.destination, (kind,), True, row.proof))
        if not results and kind in made:
            move(session, row, OutboxEvent.GIVE_UP, error=f"there is no {kind} to stand in for it")
        elif not results:
            to_make.add(kind)
    if to_make and job.status == JobStatus.DELIVERING:
        now = time.time()
        detail = {"to make": ", ".join(sorted(to_make))}
        move(session, job, JobEvent.FALL_BACK, detail=detail, attempts=0, ready_at=now)
    settle_deliveries(session, job)


def _unresolved(session: Session, job_id: int) -> list[tuple[Outbox, Kind, Sequence[Result]]]:
    """Replaced deliveries of a job whose stand-in is not sent yet: row, kind of the stand-in, results of that kind."""
    statement = (
        select(Outbox, Result.kind)
        .join(Result, Result.id == Outbox.result_id)
        .where(Outbox.job_id == job_id)
        .order_by(Outbox.id)
    )
    rows = [(row, Kind(kind)) for row, kind in session.execute(statement)]
    sent = {(row.destination, kind) for row, kind in rows}
    unresolved = []
    for row, kind in rows:
        following = stand_ins(kind)
        if row.status != OutboxStatus.REPLACED or any((row.destination, other) in sent for other in following):
            continue
        # Never the kind itself: it was refused once, also where that was forgotten since.
        wanted = kind_to_send(following[0], refused_classes(session, row.destination))
        results = session.scalars(select(Result).where(Result.job_id == job_id, Result.kind == wanted)).all()
        unresolved.append((row, wanted, results))
    return unresolved

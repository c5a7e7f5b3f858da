"""Rows of several tables are locked in one order, also where one statement locks them."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, text

from benchmarks.past import fill
from dicomnode.store.engine import Store
from dicomnode.store.locks import lock_job, lock_job_and_delivery
from dicomnode.store.tables import Job, Outbox


@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)
def test_who_waits_for_a_job_does_not_hold_its_delivery_and_sees_what_became_of_both(store: Store) -> None:
    fill(store, range(1, 3), images=1, events=6)
    with store.read() as session:
        delivery = session.scalars(select(Outbox.id).where(Outbox.job_id == 2)).first()
    assert delivery is not None
    seen: list[str] = []

    def wait() -> None:
        with store.write() as session:
            seen.extend(row.error for row in lock_job_and_delivery(session, 2, delivery))

    waiting = threading.Thread(target=wait)
    with store.write() as first:
        lock_job(first, 2).error = "of the job"
        waiting.start()
        while not _is_somebody_waiting(store):
            pass
        with store.write() as third:
            # Else it would be refused at once.
            third.scalars(select(Outbox).where(Outbox.id == delivery).with_for_update(nowait=True)).one()
        first.get_one(Outbox, delivery).error = "of the delivery"
        assert first.get_one(Job, 2).error == "of the job"
    waiting.join()
    assert seen == ["of the job", "of the delivery"]


def _is_somebody_waiting(store: Store) -> bool:
    with store.read() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

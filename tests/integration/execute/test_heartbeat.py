"""A lease is extended at a third of its length: a worker that is busy costs the database no commit each second."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import event, update

from dicomnode.execute.job import Heartbeat
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import claim_job
from dicomnode.store.states import JobStatus
from dicomnode.store.tables import Job
from tests.integration.deliver.world import new_job

LEASE_S = 4.5


def test_a_busy_worker_writes_once_in_a_third_of_its_lease(store: Store) -> None:
    new_job(store)
    with store.write() as session:
        session.execute(update(Job).values(status=JobStatus.QUEUED, ready_at=0.0))
        claim = claim_job(session, owner="node", lease_s=LEASE_S)
    assert claim is not None
    writes: list[float] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE job"):
            writes.append(time.monotonic())

    event.listen(store.engine, "before_cursor_execute", count)
    tick = Heartbeat(store, claim, LEASE_S)
    begun = time.monotonic()
    while time.monotonic() < begun + 4.2:
        tick()
        time.sleep(0.05)
    assert len(writes) == 2
    assert writes[0] - begun >= LEASE_S / 3
    assert writes[1] - writes[0] >= LEASE_S / 3

"""Deleting in steps: whoever writes meanwhile waits for some rows, not for all."""

from __future__ import annotations

import time

from sqlalchemy import Connection, event, func, select

from dicomnode.store.engine import Store
from dicomnode.store.steps import AT_ONCE, delete_in_steps
from dicomnode.store.tables import Event
from tests.integration.store.fixture import both_databases

STEPS = 3
COUNT = (STEPS - 1) * AT_ONCE + 1


@both_databases
def test_rows_go_in_portions_each_committed_before_the_next_and_others_stay(store: Store) -> None:
    with store.write() as session:
        session.add_all(Event(at=time.time(), subject="operator", name="old", detail={}) for _ in range(COUNT))
        session.add(Event(at=time.time(), subject="operator", name="young", detail={}))
    left: list[int] = []

    def count(connection: Connection) -> None:
        if connection.get_execution_options().get("dicomnode_read_only"):
            return
        with store.read() as session:
            left.append(session.scalar(select(func.count(Event.id))) or 0)

    event.listen(store.engine, "commit", count)
    try:
        assert delete_in_steps(store, Event, Event.name == "old") == COUNT
    finally:
        event.remove(store.engine, "commit", count)
    # as others see it at each commit: what was deleted before it
    assert left == [COUNT + 1 - step * AT_ONCE for step in range(STEPS)]
    with store.read() as session:
        assert session.scalars(select(Event.name)).all() == ["young"]

"""What is asked for every few seconds, and by operators, goes by an index: its cost does not grow with the history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from benchmarks.database import Call, calls, prepare
from dicomnode.records import ReceivedInstance
from dicomnode.store.engine import Store
from dicomnode.store.receive.indexing import index_instances
from dicomnode.store.receive.series_now import Arrived
from dicomnode.store.tables import Event
from tests.integration.store.fixture import execute

STUDIES = 50
BIG = ("job", "run", "result", "outbox", "event", "instance", "series")
NEWEST_FIRST = frozenset({"jobs list", "page: seconds to the PACS", "page: newest studies"})
"""These walk backwards by row id until they have enough."""
AFTER = {
    "heartbeat": "claim a job",
    "record that it was sent": "claim one delivery",
    "record one proof": "what is to be proven?",
}
"""What must have been done before, so that there is something to do."""
CALLS = {call.name: call for call in calls(STUDIES)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Enough of everything that each call finds something."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('plans')}/node.db")
    store.migrate()
    prepare(store, STUDIES)
    yield store
    store.close()


@pytest.fixture(scope="module")
def filled_postgresql(postgres_url: str) -> Iterator[Store]:
    """The same on a server, which goes through a table only where no index serves."""
    execute(
        postgres_url, "CREATE DATABASE plans TEMPLATE template_node", "ALTER DATABASE plans SET enable_seqscan = off"
    )
    store = Store(postgres_url.replace("/postgres?", "/plans?"))
    prepare(store, STUDIES)
    yield store
    store.close()
    execute(postgres_url, "DROP DATABASE plans WITH (FORCE)")


def plans_of(store: Store, call: Call) -> list[str]:
    """The lines of the plans of all statements that a call makes."""
    explain, column = ("EXPLAIN QUERY PLAN", 3) if store.engine.dialect.name == "sqlite" else ("EXPLAIN", 0)
    made: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        made.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", keep)
    with store.write() if call.writes else store.read() as session:
        call.work(session, 0)
    event.remove(store.engine, "before_cursor_execute", keep)
    told = [one for one in made if one[0].startswith(("SELECT", "UPDATE"))]
    assert told
    with store.engine.connect() as connection:
        return [row[column] for one in told for row in connection.exec_driver_sql(f"{explain} {one[0]}", one[1])]


@pytest.mark.parametrize("name", sorted(CALLS.keys() - NEWEST_FIRST))
def test_no_table_that_grows_is_read_from_end_to_end(filled: Store, name: str) -> None:
    if name in AFTER:
        plans_of(filled, CALLS[AFTER[name]])
    # An index may be walked from end to end where it holds but the few rows that are asked for.
    scans = [line for line in plans_of(filled, CALLS[name]) if line.startswith(tuple(f"SCAN {one}" for one in BIG))]
    assert [line for line in scans if not line.endswith("ix_instance_not_used")] == []


@pytest.mark.parametrize("name", sorted(CALLS.keys() - NEWEST_FIRST))
def test_on_a_server_too_each_question_is_served_by_an_index(filled_postgresql: Store, name: str) -> None:
    if name in AFTER:
        plans_of(filled_postgresql, CALLS[AFTER[name]])
    plans = plans_of(filled_postgresql, CALLS[name])
    assert [line for line in plans for table in BIG if f"Seq Scan on {table}" in line] == []


def test_for_an_image_that_arrives_its_series_is_not_gone_through(filled: Store) -> None:
    received = ReceivedInstance(
        sop_instance_uid="1.2.3",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        study_uid="1.2",
        series_uid="1.2.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=Path("1.2/1.2.1/1.2.3.dcm"),
        digest="d",
        size_bytes=1,
        header={},
        not_used=None,
    )

    def index(session: Session, _: int) -> None:
        index_instances(session, [Arrived(received, None, "CT")], settle_s=1.0, max_instances=10)

    for arrival in ("new", "again"):
        plans = [line for line in plans_of(filled, Call(arrival, index, writes=True)) if " instance" in line]
        assert plans
        assert all("sop_instance_uid" in line for line in plans), plans


def test_a_plan_without_an_index_is_seen(filled: Store) -> None:
    unindexed = Call("by name", lambda session, _: session.scalars(select(Event.id).where(Event.name == "x")).all())
    assert "SCAN event" in plans_of(filled, unindexed)


def test_a_plan_without_an_index_is_seen_on_a_server_too(filled_postgresql: Store) -> None:
    unindexed = Call("by name", lambda session, _: session.scalars(select(Event.id).where(Event.name == "x")).all())
    assert any("Seq Scan on event" in line for line in plans_of(filled_postgresql, unindexed))

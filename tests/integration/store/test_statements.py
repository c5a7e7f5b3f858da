"""How many statements a call makes: on a server each is a round trip. None makes more where there are more results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from benchmarks.database import heard
from benchmarks.past import RESULTS, fill
from dicomnode.store.deliver import outbox, proofs
from dicomnode.store.deliver.results import Delivery, outbox_row
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.history.jobs import JobFilter
from dicomnode.store.history.listing import list_all
from dicomnode.store.ops import standing
from dicomnode.store.queue.jobs import claim_job, heartbeat, recover_leases
from dicomnode.store.states import JobStatus
from dicomnode.store.tables import Job, Outbox, Result
from tests.integration.store.fixture import both_databases

pytestmark = both_databases
FEW, MANY = 3, 30
MOVED = ["UPDATE", "INSERT"]
"""A change of state: the row and its event."""


@pytest.fixture(params=[FEW, MANY])
def studies(store: Store, request: pytest.FixtureRequest) -> int:
    """How many studies there are; of the second one some results go to another destination, too."""
    number: int = request.param
    fill(store, range(1, number + 1), images=2, events=6)
    with store.write() as session:
        for key in range(2 * RESULTS, 2 * RESULTS + RESULTS * (number == MANY)):
            outbox_row(session, session.get_one(Result, key), Delivery("archive", ("seg",), True))
        session.execute(update(Job).where(Job.id == 2).values(status="delivering", finished_at=None))
        session.execute(update(Outbox).where(Outbox.job_id == 2).values(status="pending"))
    return number


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """First words of the statements that are made meanwhile."""
    whole, first = list[str](), list[str]()
    with heard(store, whole):
        yield first
    first += [word for statement in whole for word in statement.split()[:1] if word != "BEGIN"]


def number_of(store: Store, question: Callable[[Session], object]) -> int:
    """How many statements an answer takes."""
    with statements(store) as made, store.read() as session:
        assert question(session)
    return len(made)


def test_a_job_is_claimed_and_kept_in_few_statements(store: Store, studies: int) -> None:
    with store.write() as session:
        session.execute(update(Job).where(Job.id != 2).values(status="queued", finished_at=None))
    with statements(store) as claimed, store.write() as session:
        claim = claim_job(session, owner="worker", lease_s=60.0)
    assert claim is not None
    with statements(store) as kept, store.write() as session:
        heartbeat(session, claim, lease_s=60.0)
    with statements(store) as looked, store.write() as session:
        assert recover_leases(session, 0.0) == outbox.recover_parcels(session, 0.0) == 0
    assert (claimed, kept, looked) == (["SELECT", *MOVED], ["SELECT", "UPDATE"], ["SELECT", "SELECT"])


def test_a_delivery_is_recorded_and_proven_in_few_statements(store: Store, studies: int) -> None:
    with statements(store) as claimed, store.write() as session:
        (parcel,) = outbox.claim_parcels(session, "pacs", owner="sender", lease_s=60.0, limit=1)
    with statements(store) as sent, store.write() as session:
        outbox.record_sent(session, parcel, status=0)
    with store.read() as session:
        (one,) = proofs.unproven(session, "pacs", "query")
    with statements(store) as proven, store.write() as session:
        proofs.record_proven(session, one, by="query")
    assert claimed == ["SELECT", *MOVED]
    assert sent == proven == ["SELECT", *MOVED, "SELECT"]
    with store.read() as session:
        row = session.get_one(Outbox, one.outbox_id)
        assert (row.status, row.proven_by, row.lease_token) == ("proven", "query", 1)


def test_the_last_proof_ends_the_job_in_four_statements_more(store: Store, studies: int) -> None:
    with store.write() as session:
        session.execute(update(Outbox).where(Outbox.job_id == 2).values(status="proven"))
        session.execute(update(Outbox).where(Outbox.result_id == 2 * RESULTS).values(status="sent"))
    with store.read() as session:
        last, *others = proofs.unproven(session, "pacs", "query")
    with store.write() as session:
        session.execute(update(Outbox).where(Outbox.destination == "archive").values(status="proven"))
    with statements(store) as made, store.write() as session:
        proofs.record_proven(session, last, by="query")
    assert (others, made) == ([], ["SELECT", *MOVED, "SELECT", *MOVED, "SELECT", "SELECT"])
    with store.read() as session:
        assert session.get_one(Job, 2).status == "done"


def test_an_operators_questions_take_as_many_statements_beside_many_results(store: Store, studies: int) -> None:
    assert number_of(store, lambda session: list_all(session, JobFilter(), limit=50).jobs) == 5
    for identifier in ("2", "ACC2", "1.2.3.2", "1.2.3.2.1", "1.2.3.2.1.0", "1.2.3.2.9.0"):
        assert number_of(store, lambda session, name=identifier: events_of(session, name)) == 3, identifier
    assert number_of(store, standing.to_pacs) == 1


def test_nothing_is_kept_of_what_is_written_in_a_read(store: Store, studies: int) -> None:
    is_server = store.engine.dialect.name == "postgresql"
    with pytest.raises(DBAPIError) if is_server else nullcontext(), store.read() as session:
        session.execute(update(Job).values(status="queued"))
    with store.read() as session:
        assert JobStatus.DONE in session.scalars(select(Job.status)).all()


def test_what_is_asked_again_and_again_stays_prepared(store: Store, studies: int) -> None:
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite keeps statements itself")
    for _ in range(10):
        with store.read() as session:
            standing.to_pacs(session)
    with store.read() as session:
        prepared = session.scalars(text("SELECT statement FROM pg_prepared_statements")).all()
    assert any("last_instance_at" in statement for statement in prepared)

"""What is paused does not begin, on either database, until it is resumed; the history names who did it."""

from __future__ import annotations

from sqlalchemy import select

from dicomnode.store.deliver.outbox import claim_parcels, has_due_parcels
from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.engine import Store
from dicomnode.store.pausing import Part, list_paused, pause, resume
from dicomnode.store.queue.jobs import claim_job
from dicomnode.store.tables import Event
from tests.integration.deliver.world import claimed_job, encoded_result, new_job
from tests.integration.store.fixture import both_databases


@both_databases
def test_a_paused_queue_gives_no_job(store: Store) -> None:
    new_job(store)
    with store.write() as session:
        assert pause(session, Part.QUEUE, by="anna")
        assert not pause(session, Part.QUEUE, by="victor")
        assert claim_job(session, owner="worker", lease_s=60) is None
        assert [(one.part, one.by) for one in list_paused(session)] == [("queue", "anna")]
    with store.write() as session:
        assert resume(session, Part.QUEUE, by="victor")
        assert not resume(session, Part.QUEUE)
        assert claim_job(session, owner="worker", lease_s=60) is not None
        told = session.scalars(select(Event).where(Event.subject == "operator").order_by(Event.id))
        assert [(event.name, event.detail["by"]) for event in told] == [("pause", "anna"), ("resume", "victor")]


@both_databases
def test_a_paused_destination_gets_nothing_and_the_others_do(store: Store, tmp_path) -> None:
    claim = claimed_job(store)
    result = encoded_result(tmp_path, "seg", study_uid=claim.study_uid)
    both = [Delivery(name, frozenset({"seg"}), accept_research=True) for name in ("pacs", "cloud")]
    with store.write() as session:
        store_results(session, claim, [result], both)
        pause(session, Part.DESTINATION, "pacs")
    with store.write() as session:
        assert not has_due_parcels(session, "pacs")
        assert claim_parcels(session, "pacs", owner="sender", lease_s=60) == []
        assert has_due_parcels(session, "cloud")
        resume(session, Part.DESTINATION, "pacs")
        assert len(claim_parcels(session, "pacs", owner="sender", lease_s=60)) == 1

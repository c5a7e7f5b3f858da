"""What was sent is looked for at the destination; only what is there counts as delivered. On SQLite and PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from dicomnode.deliver.query import find_instances
from dicomnode.errors import AssociationRejected
from dicomnode.store.deliver import proofs
from dicomnode.store.deliver.outbox import forget_destination, orphaned, settle_stranded_jobs
from dicomnode.store.history.jobs import show_job
from dicomnode.store.queue.jobs import requeue_job, supersede_job
from dicomnode.store.tables import Job, Outbox
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.world import World, until
from tests.integration.store.fixture import both_databases


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ScriptedPacs]:
    with ScriptedPacs(tmp_path / "pacs") as running:
        yield running


def look_at_once(world: World) -> None:
    """Do not wait for the next look."""
    with world.store.write() as session:
        session.execute(update(Outbox).values(next_attempt_at=0.0))


def test_a_job_is_done_when_every_result_was_found_and_says_so(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("seg", "sr", "sc")
    world.sender(world.destination(pacs.port)).step()
    assert world.statuses(job_id) == ["proven"] * 3
    assert {row.proven_by for row in world.rows(job_id)} == {"query"}
    (event,) = world.events("delivered", "job")
    assert event.detail["proof"] == {"pacs": "query"}
    with world.store.read() as session:
        line = show_job(session, job_id)
    assert line is not None
    assert {delivery.proven_by for delivery in line.deliveries} == {"query"}


@both_databases
def test_a_result_lost_after_success_is_sent_again_and_counted_failure_mode_16(
    world: World, pacs: ScriptedPacs
) -> None:
    job_id, results = world.deliver("seg", "sr", "sc")
    lost = results[1].sop_instance_uid
    pacs.loses = {lost: 2}
    sender = world.sender(world.destination(pacs.port, proof_wait_s=0.05))
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=30.0)
    assert pacs.asked.count(lost) == 3
    assert [pacs.asked.count(result.sop_instance_uid) for result in results] == [1, 3, 1]
    assert [row.losses for row in world.rows(job_id)] == [0, 2, 0]
    assert len(world.events("miss")) == 2


def test_a_pacs_that_always_loses_a_result_leaves_the_job_undelivered(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("sr", "sc")
    pacs.loses = {results[0].sop_instance_uid: 10**6}
    sender = world.sender(world.destination(pacs.port, proof_wait_s=0.05, give_up_after_h=1.5 / 3600))
    world.step_until(sender, lambda: world.job(job_id).status == "undelivered", within_s=30.0)
    assert world.statuses(job_id) == ["failed", "proven"]
    assert "does not have it" in world.rows(job_id)[0].error


def test_an_archive_that_indexes_late_gets_nothing_twice(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("seg", "sr")
    pacs.hidden_looks = 2  # one C-FIND for each of the two series
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    assert world.statuses(job_id) == ["sent", "sent"]
    assert world.job(job_id).status == "delivering"
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [result.sop_instance_uid for result in results]


def test_a_result_filed_in_another_study_is_not_found(world: World, pacs: ScriptedPacs) -> None:
    world.deliver("sr")
    world.sender(world.destination(pacs.port)).step()
    (stored,) = pacs.instances
    destination = world.destination(pacs.port)
    right, wrong = (stored.study_uid, stored.series_uid), ("1.2.3", stored.series_uid)
    assert find_instances(destination, "NODE", [right, wrong]) == {right: {stored.sop_instance_uid}, wrong: set()}


@pytest.mark.parametrize("level", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("said", ["", None])
def test_an_answer_with_an_empty_key_belongs_to_what_was_asked(
    world: World, pacs: ScriptedPacs, level: str, said: str | None
) -> None:
    pacs.says = {level: said}
    job_id, results = world.deliver("seg", "sr")
    world.sender(world.destination(pacs.port, proof_wait_s=0.01)).step()
    assert world.job(job_id).status == "done"
    assert pacs.asked == [result.sop_instance_uid for result in results]


@pytest.mark.parametrize(
    "said", [{"SOPInstanceUID": ""}, {"SOPInstanceUID": None}, {"StudyInstanceUID": ["1.2", "1.3"]}]
)
def test_an_answer_that_cannot_be_attributed_is_neither_yes_nor_no(
    world: World, pacs: ScriptedPacs, said: dict[str, str | None]
) -> None:
    pacs.alone_status = 0xA900
    job_id, results = world.deliver("sr")
    sender = world.sender(world.destination(pacs.port, proof_wait_s=0.01, identity="trust"))
    pacs.says = said
    for _ in range(3):
        sender.step()
        look_at_once(world)
        time.sleep(0.02)
    (row,) = world.rows(job_id)
    assert (row.status, row.losses, row.proof_attempts) == ("sent", 0, 3)
    assert "it cannot be told whether the destination has it" in row.error
    pacs.says = {}
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


def test_what_can_never_be_told_is_given_up_in_the_end(world: World, pacs: ScriptedPacs) -> None:
    pacs.says, pacs.alone_status = {"SOPInstanceUID": ""}, 0xA900
    job_id, results = world.deliver("sr")
    sender = world.sender(world.destination(pacs.port, proof_wait_s=0.01, give_up_after_h=1.0 / 3600))
    world.step_until(sender, lambda: world.job(job_id).status == "undelivered", within_s=30.0)
    assert pacs.asked == [results[0].sop_instance_uid]


def test_without_proof_a_job_ends_sent_unproven(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("seg", "sr", proof="status")
    world.sender(world.destination(pacs.port, proof="status")).step()
    assert world.statuses(job_id) == ["sent", "sent"]
    assert world.job(job_id).status == "sent_unproven"
    assert world.events("unproven", "job")[0].detail["proof"] == {"pacs": "status"}
    assert pacs.looks == 0


def test_one_destination_without_proof_leaves_the_job_unproven(
    world: World, pacs: ScriptedPacs, tmp_path: Path
) -> None:
    job_id, _ = world.deliver("sr", destinations=("pacs", "archive"))
    world.sender(world.destination(pacs.port)).step()
    with ScriptedPacs(tmp_path / "archive") as archive:
        world.sender(world.destination(archive.port, name="archive", proof="status")).step()
    assert world.job(job_id).status == "sent_unproven"
    assert world.events("unproven", "job")[0].detail["proof"] == {"pacs": "query", "archive": "status"}


def test_a_pacs_without_c_find_leaves_its_results_unproven_and_says_why(world: World, tmp_path: Path) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.offers_find = False
    job_id, results = world.deliver("sr")
    with pacs:
        destination = world.destination(pacs.port)
        sender = world.sender(destination)
        sender.step()
        assert world.statuses(job_id) == ["sent"]
        assert "does not accept Study Root Query" in world.rows(job_id)[0].error
        with pytest.raises(AssociationRejected, match="does not accept Study Root Query"):
            find_instances(destination, "NODE", [("1.2", "1.3")])
        # the admin gives in: after the restart nothing waits any more
        world.sender(world.destination(pacs.port, proof="status")).step()
        with world.store.write() as session:
            settle_stranded_jobs(session)
    assert world.job(job_id).status == "sent_unproven"
    assert pacs.asked == [results[0].sop_instance_uid]


def test_a_query_that_fails_is_repeated_and_nothing_is_sent_twice(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("sr")
    pacs.find_status = 0xA700
    sender = world.sender(world.destination(pacs.port, proof_wait_s=0.01))
    sender.step()
    look_at_once(world)
    sender.step()
    (row,) = world.rows(job_id)
    assert (row.status, row.proof_attempts, row.losses) == ("sent", 2, 0)
    assert "0xA700" in row.error
    pacs.find_status = 0
    look_at_once(world)
    sender.step()
    assert world.job(job_id).status == "done"
    assert len(pacs.asked) == 1


def test_a_pacs_down_between_success_and_proof_is_asked_when_it_is_back(world: World, tmp_path: Path) -> None:
    job_id, results = world.deliver("sr")
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.hidden_looks = 1
    with pacs:
        sender = world.sender(world.destination(pacs.port))
        sender.step()
    look_at_once(world)
    sender.step()
    assert world.statuses(job_id) == ["sent"]
    assert "no connection" in world.rows(job_id)[0].error
    with pacs:
        world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


def test_proof_is_taken_up_after_a_restart(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.hidden_looks = 1
    world.sender(world.destination(pacs.port)).step()
    assert world.statuses(job_id) == ["sent"]
    world.step_until(world.sender(world.destination(pacs.port)), lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


def test_an_unproven_job_is_proven_later_when_the_destination_offers_it(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("sr", proof="status")
    world.sender(world.destination(pacs.port, proof="status")).step()
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    assert world.job(job_id).status == "sent_unproven"
    with world.store.write() as session:
        assert requeue_job(session, job_id) == "delivering"
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


def test_what_is_superseded_before_its_proof_is_not_looked_for(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("sr")
    pacs.hidden_looks = 1
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    (late,) = proofs_of(world, job_id)
    with world.store.write() as session:
        supersede_job(session, session.get_one(Job, job_id), reason="late instance")
    look_at_once(world)
    assert sender.step() == 0
    assert pacs.looks == 1
    with world.store.write() as session:
        proofs.record_proven(session, late, by="query")
        proofs.record_missing(session, late, error="x", retry_at=None)
    assert world.statuses(job_id) == ["sent"]


def proofs_of(world: World, job_id: int) -> list[proofs.Sent]:
    """What waits for its proof, however long it still has to."""
    look_at_once(world)
    with world.store.read() as session:
        return [sent for sent in proofs.unproven(session, "pacs", "query") if sent.job_id == job_id]


@both_databases
def test_two_nodes_that_prove_at_once_agree(world: World, pacs: ScriptedPacs) -> None:
    jobs = [world.deliver("sr", "sc")[0] for _ in range(10)]
    stop = threading.Event()
    senders = [world.sender(world.destination(pacs.port), owner=f"node-{number}") for number in range(2)]
    threads = [threading.Thread(target=sender.run, args=(stop,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(world.job(job_id).status == "done" for job_id in jobs), within_s=60.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(world.events("prove")) == 20


def test_what_waits_for_a_removed_destination_is_named_and_can_be_ended(world: World, pacs: ScriptedPacs) -> None:
    both, _ = world.deliver("sr", destinations=("pacs", "gone"))
    only, _ = world.deliver("sr", "sc", destinations=("gone",))
    world.sender(world.destination(pacs.port)).step()
    with world.store.read() as session:
        assert orphaned(session, ["pacs", "gone"]) == {}
        assert orphaned(session, ["pacs"]) == {"gone": 3}
    with world.store.write() as session:
        assert forget_destination(session, "gone") == 3
        assert orphaned(session, ["pacs"]) == {}
    assert world.statuses(both) == ["proven", "withdrawn"]
    assert [world.job(job_id).status for job_id in (both, only)] == ["undelivered", "undelivered"]


def test_what_was_sent_to_a_removed_destination_ends_without_proof(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("sr")
    pacs.hidden_looks = 1
    world.sender(world.destination(pacs.port)).step()
    with world.store.write() as session:
        assert orphaned(session, []) == {"pacs": 1}
        assert forget_destination(session, "pacs") == 1
    assert world.job(job_id).status == "sent_unproven"

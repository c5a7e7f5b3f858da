"""The outbox sent to real peers, on SQLite and on PostgreSQL."""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pynetdicom import evt
from sqlalchemy import event, select, text, update

from dicomnode.config.sections import Execution
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import send
from dicomnode.deliver.sender import Sender
from dicomnode.errors import LeaseLost
from dicomnode.store.deliver import outbox
from dicomnode.store.locks import lock_job
from dicomnode.store.queue.jobs import requeue_job, supersede_job
from dicomnode.store.tables import Job, Outbox
from tests.integration.deliver.pacs import ScriptedPacs, free_port
from tests.integration.deliver.world import SOP_CLASSES, World, data_set_sha256, until
from tests.integration.store.fixture import both_databases, sqlite_only


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ScriptedPacs]:
    with ScriptedPacs(tmp_path / "pacs") as running:
        yield running


@both_databases
def test_results_arrive_in_order_over_one_association_with_their_own_bytes(world: World, pacs: ScriptedPacs) -> None:
    first, first_results = world.deliver("seg", "sr", "sc")
    second, second_results = world.deliver("sr")
    sender = world.sender(world.destination(pacs.port))
    assert sender.step() == 4
    assert pacs.uids == [result.sop_instance_uid for result in first_results + second_results]
    assert len({stored.association for stored in pacs.instances}) == 1
    expected = [data_set_sha256(world.data_dir / result.path) for result in first_results + second_results]
    assert [stored.sha256 for stored in pacs.instances] == expected
    assert world.job(first).status == world.job(second).status == "done"
    assert {row.last_status for row in world.rows(first)} == {0}
    assert sender.step() == 0


def test_a_new_result_leaves_at_once(world: World, pacs: ScriptedPacs) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=world.sender(world.destination(pacs.port)).run, args=(stop,))
    thread.start()
    try:
        time.sleep(0.3)
        world.deliver("sr")
        began = time.monotonic()
        until(lambda: pacs.uids, within_s=5.0)
        waited_s = time.monotonic() - began
    finally:
        stop.set()
        thread.join()
    assert waited_s < 1.5  # 0.3 s on an idle machine


def test_stat_results_leave_before_routine_ones_that_waited_longer(world: World, pacs: ScriptedPacs) -> None:
    first, (early,) = world.deliver("sr")
    urgent, (stat, also_stat) = world.deliver("seg", "sr")
    with world.store.write() as session:
        session.execute(update(Job).where(Job.id == urgent).values(priority="stat"))
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    # nor does their proof wait until routine ones are sent
    assert (world.statuses(first), world.job(urgent).status) == (["pending"], "done")
    sender.step()
    assert world.job(first).status == "done"
    assert pacs.asked == [result.sop_instance_uid for result in (stat, also_stat, early)]


def test_what_is_stat_is_looked_for_before_routine_results_that_were_sent_earlier(
    world: World, pacs: ScriptedPacs
) -> None:
    pacs.hidden_looks = 1
    first, _ = world.deliver("sr")
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    urgent, _ = world.deliver("sr")
    with world.store.write() as session:
        session.execute(update(Job).where(Job.id == urgent).values(priority="stat"))
        session.execute(update(Outbox).where(Outbox.job_id == first).values(next_attempt_at=0.0))
    sender.step()
    assert (world.job(first).status, world.job(urgent).status) == ("delivering", "done")
    sender.step()
    assert world.job(first).status == "done"


class BusyPacs(ScriptedPacs):
    """Something happens while it takes its first instance."""

    def __init__(self, folder: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(folder)
        self.meanwhile = meanwhile

    def answer_to(self, event: evt.Event) -> int:
        status = super().answer_to(event)
        if len(self.asked) == 1:
            self.meanwhile()
        return status


@both_databases
def test_a_stat_result_does_not_wait_for_the_batch_of_routine_ones_that_is_being_sent(
    world: World, tmp_path: Path
) -> None:
    routine, (first, second, third) = world.deliver("seg", "sr", "sc")
    urgent: list[str] = []

    def a_stat_result_comes() -> None:
        job_id, (result,) = world.deliver("sr")
        with world.store.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(priority="stat"))
        urgent.append(result.sop_instance_uid)

    with BusyPacs(tmp_path / "pacs", a_stat_result_comes) as pacs:
        sender = world.sender(world.destination(pacs.port))
        sender.step()
        assert world.statuses(routine) == ["sent", "pending", "pending"]
        world.step_until(sender, lambda: world.job(routine).status == "done")
    assert pacs.asked == [first.sop_instance_uid, *urgent, second.sop_instance_uid, third.sop_instance_uid]
    assert [row.attempts for row in world.rows(routine)] == [1, 1, 1]


def test_a_job_without_results_at_a_destination_is_no_work(world: World, pacs: ScriptedPacs) -> None:
    world.deliver("sr", destinations=("archive",))
    assert world.sender(world.destination(pacs.port)).step() == 0
    assert pacs.associations == 0


def test_a_job_is_done_only_when_every_destination_has_it(world: World, pacs: ScriptedPacs, tmp_path: Path) -> None:
    job_id, _ = world.deliver("sr", destinations=("pacs", "archive"))
    world.sender(world.destination(pacs.port)).step()
    assert world.job(job_id).status == "delivering"
    with ScriptedPacs(tmp_path / "archive") as archive:
        world.sender(world.destination(archive.port, name="archive")).step()
    assert world.job(job_id).status == "done"


@sqlite_only
@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_counts_as_sent_and_is_kept(world: World, pacs: ScriptedPacs, status: int) -> None:
    job_id, _ = world.deliver("sr")
    pacs.statuses = [status]
    world.sender(world.destination(pacs.port)).step()
    assert world.job(job_id).status == "done"
    assert [row.last_status for row in world.rows(job_id)] == [status]
    assert world.events("sent")[0].detail["status"] == f"0x{status:04X}"


def test_out_of_resources_is_retried_with_growing_pauses_until_success(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.statuses = [0xA700, 0xA700, 0xA700]
    sender = world.sender(world.destination(pacs.port))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid] * 4
    retries = world.events("retry")
    assert [event.detail["status"] for event in retries] == ["0xA700"] * 3
    pauses = [event.detail["retry_at"] - event.detail["failed_at"] for event in retries]
    for pause_s, nominal_s in zip(pauses, (0.1, 0.2, 0.4), strict=True):
        assert 0.75 * nominal_s < pause_s < 1.25 * nominal_s
    assert all(event.detail["failed_at"] <= event.at for event in retries)
    assert all(later.detail["failed_at"] > event.detail["retry_at"] for event, later in itertools.pairwise(retries))


@sqlite_only
def test_a_refused_instance_does_not_hold_up_the_others(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("seg", "sr", "sc")
    pacs.statuses = [0xC000]
    sender = world.sender(world.destination(pacs.port, retry_min_s=30, retry_max_s=60))
    sender.step()
    assert world.statuses(job_id) == ["pending", "proven", "proven"]
    assert pacs.uids == [result.sop_instance_uid for result in results[1:]]
    job_2, _ = world.deliver("sr")
    sender.step()
    assert world.job(job_2).status == "done"


def test_a_pacs_that_is_down_gets_everything_once_when_it_is_back(world: World, tmp_path: Path) -> None:
    port = free_port()
    job_id, results = world.deliver("seg", "sr", "sc")
    sender = world.sender(world.destination(port))
    assert sender.step() == 3
    assert {row.error for row in world.rows(job_id)} == {f"PACS at 127.0.0.1:{port}: no connection: Connection refused"}
    with ScriptedPacs(tmp_path / "pacs", port=port) as pacs:
        world.step_until(sender, lambda: world.job(job_id).status == "done")
        assert pacs.uids == [result.sop_instance_uid for result in results]
        assert len({stored.association for stored in pacs.instances}) == 1


def test_an_unreachable_destination_costs_one_attempt_per_back_off(world: World) -> None:
    job_id, _ = world.deliver("seg", "sr", "sc")
    sender = world.sender(world.destination(free_port(), retry_min_s=30, retry_max_s=60))
    assert sender.step() == 3
    later, _ = world.deliver("sr")
    assert [sender.step() for _ in range(20)] == [0] * 20
    assert {row.attempts for row in world.rows(job_id)} == {1}
    assert {row.attempts for row in world.rows(later)} == {0}
    assert len({row.next_attempt_at for row in world.rows(job_id)}) == 1  # the whole batch comes back together


def test_results_leave_at_once_when_an_echo_finds_the_pacs_back(world: World, tmp_path: Path) -> None:
    port = free_port()
    job_id, _ = world.deliver("sr")
    sender = world.sender(world.destination(port, retry_min_s=1000, retry_max_s=1000), echo_interval_s=0.2)
    assert sender.step() == 1
    assert sender.step() == 0
    with ScriptedPacs(tmp_path / "pacs", port=port):
        world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=10.0)


def test_what_was_refused_with_a_status_does_not_profit_from_an_echo(world: World, pacs: ScriptedPacs) -> None:
    refused, _ = world.deliver("sr")
    pacs.statuses = [0xA700]
    sender = world.sender(world.destination(pacs.port, retry_min_s=1000, retry_max_s=1000))
    sender.step()
    with world.store.write() as session:
        assert outbox.wake_parcels(session, "pacs") == 0
    assert world.rows(refused)[0].next_attempt_at > time.time() + 500


def test_an_association_lost_in_the_middle_resends_only_what_was_not_answered_failure_mode_16(
    world: World, pacs: ScriptedPacs
) -> None:
    job_id, results = world.deliver("sr", "seg", "sc", "sr", "sc")
    uids = [result.sop_instance_uid for result in results]
    pacs.aborts_after = 2
    sender = world.sender(world.destination(pacs.port, retry_min_s=1.0, retry_max_s=4.0))
    sender.step()
    assert world.statuses(job_id) == ["sent", "sent", "pending", "pending", "pending"]
    on_its_way, *behind = world.rows(job_id)[2:]
    assert {row.error for row in behind} == {"the connection was lost"}
    # should that very file be what the peer falls over, the others have their turn before it comes again
    assert max(row.next_attempt_at for row in behind) < on_its_way.next_attempt_at
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked[:3] == uids[:3]
    assert sorted(pacs.asked) == sorted([*uids, uids[2]])
    assert sorted(pacs.uids) == sorted(uids)


@sqlite_only
def test_an_instance_that_makes_the_peer_fall_over_blocks_nobody_else(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("seg", "sr", "sc")
    pacs.falls_over_at = {results[0].sop_instance_uid}
    sender = world.sender(world.destination(pacs.port, retry_max_s=5.0))
    world.step_until(sender, lambda: world.statuses(job_id)[1:] == ["proven", "proven"])
    assert world.statuses(job_id)[0] == "pending"


@sqlite_only
def test_a_refused_sop_class_without_a_stand_in_is_retried_and_in_the_end_undelivered(
    world: World, tmp_path: Path
) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = {SOP_CLASSES["sc"]}
    job_id, _ = world.deliver("sc", "sr")
    with pacs:
        sender = world.sender(world.destination(pacs.port, give_up_after_h=3.0 / 3600))
        sender.step()
        assert world.statuses(job_id) == ["pending", "proven"]
        world.step_until(sender, lambda: world.job(job_id).status == "undelivered")
    assert world.statuses(job_id) == ["failed", "proven"]
    (row, _) = world.rows(job_id)
    assert row.attempts >= 2
    assert "Secondary Capture Image Storage" in row.error


def test_an_undelivered_job_can_be_sent_again_as_if_new(world: World, tmp_path: Path) -> None:
    port = free_port()
    job_id, results = world.deliver("sr", "sc")
    sender = world.sender(world.destination(port, give_up_after_h=1e-9))
    sender.step()
    assert world.job(job_id).status == "undelivered"
    with world.store.write() as session:
        assert requeue_job(session, job_id) == "delivering"
    assert {row.attempts for row in world.rows(job_id)} == {0}
    with ScriptedPacs(tmp_path / "pacs", port=port) as pacs:
        world.step_until(sender, lambda: world.job(job_id).status == "done")
        assert pacs.uids == [result.sop_instance_uid for result in results]


def test_research_results_are_never_sent_where_they_are_not_accepted(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("seg", "sr", research=True)
    assert world.statuses(job_id) == ["withheld", "withheld"]
    sender = world.sender(world.destination(pacs.port))
    assert [sender.step() for _ in range(3)] == [0, 0, 0]
    with world.store.write() as session:
        outbox.settle_stranded_jobs(session)
    assert world.job(job_id).status == "done"
    assert pacs.asked == []


def test_research_results_are_sent_where_they_are_accepted(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("sr", research=True, accept_research=True)
    world.sender(world.destination(pacs.port, accept_research=True)).step()
    assert world.job(job_id).status == "done"
    assert len(pacs.instances) == 1


def test_research_results_that_wait_are_withheld_once_they_are_not_accepted_any_more(
    world: World, pacs: ScriptedPacs
) -> None:
    job_id, _ = world.deliver("sr", research=True, accept_research=True)
    clinical, _ = world.deliver("sr")
    sender = world.sender(world.destination(pacs.port, accept_research=False))
    assert sender.step() == 1
    assert world.statuses(job_id) == ["withheld"]
    assert world.job(clinical).status == "done"
    assert len(pacs.instances) == 1


def test_withdrawn_results_are_not_sent(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("seg", "sr")
    kept, results = world.deliver("sc")
    with world.store.write() as session:
        supersede_job(session, session.get_one(Job, job_id), reason="late instance")
    world.sender(world.destination(pacs.port)).step()
    assert pacs.asked == [results[0].sop_instance_uid]
    assert world.statuses(job_id) == ["withdrawn", "withdrawn"]
    assert world.job(job_id).status == "superseded"
    assert world.job(kept).status == "done"


class SupersedesOnArrival(ScriptedPacs):
    """While it takes the first result, the node learns that the job is superseded."""

    world: World
    job_id: int

    def answer_to(self, event):  # type: ignore[no-untyped-def]
        if not self.asked:
            with self.world.store.write() as session:
                supersede_job(session, session.get_one(Job, self.job_id), reason="late instance")
        return super().answer_to(event)


def test_what_is_withdrawn_while_its_batch_is_on_the_way_is_not_sent(world: World, tmp_path: Path) -> None:
    job_id, results = world.deliver("seg", "sr", "sc")
    pacs = SupersedesOnArrival(tmp_path / "pacs")
    pacs.world, pacs.job_id = world, job_id
    with pacs:
        world.sender(world.destination(pacs.port)).step()
    assert pacs.asked == [results[0].sop_instance_uid]
    assert world.statuses(job_id) == ["withdrawn"] * 3
    (event,) = world.events("sent_unrecorded")
    assert event.subject_id == world.rows(job_id)[0].id
    assert world.job(job_id).status == "superseded"


def test_a_crash_between_success_and_its_record_sends_the_same_bytes_twice(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("seg")
    destination = world.destination(pacs.port)
    with world.store.write() as session:
        (parcel,) = outbox.claim_parcels(session, "pacs", owner="node/pacs", lease_s=1000)
    file = Outgoing.from_file(world.data_dir / parcel.path, sha256=parcel.digest)
    assert [outcome.status for outcome in send([file], destination, "NODE")] == [0]
    # here the node dies; after the restart the same owner begins anew
    world.sender(destination).step()
    assert world.job(job_id).status == "done"
    assert pacs.uids == [results[0].sop_instance_uid] * 2
    assert len({stored.sha256 for stored in pacs.instances}) == 1
    (row,) = world.rows(job_id)
    assert row.attempts == 2


def test_a_pacs_that_kept_it_but_never_answered_is_not_sent_it_again(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.keeps_then_drops = True
    sender = world.sender(world.destination(pacs.port))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


def test_a_pacs_that_kept_it_and_does_not_show_it_yet_gets_the_same_bytes_again(
    world: World, pacs: ScriptedPacs
) -> None:
    job_id, results = world.deliver("sr")
    pacs.keeps_then_drops, pacs.hidden_looks = True, 1
    sender = world.sender(world.destination(pacs.port))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.uids == [results[0].sop_instance_uid] * 2
    assert len({stored.sha256 for stored in pacs.instances}) == 1


def test_a_restart_does_not_take_over_what_another_node_is_sending(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("sr")
    with world.store.write() as session:
        assert len(outbox.claim_parcels(session, "pacs", owner="other-node/pacs", lease_s=1000)) == 1
    assert world.sender(world.destination(pacs.port)).step() == 0
    assert world.statuses(job_id) == ["sending"]


@both_databases
def test_an_expired_lease_is_recovered_and_the_late_owner_changes_nothing(world: World) -> None:
    job_id, _ = world.deliver("sr")
    with world.store.write() as session:
        (late,) = outbox.claim_parcels(session, "pacs", owner="other-node/pacs", lease_s=-1)
    with world.store.write() as session:
        assert outbox.recover_parcels(session, time.time()) == 1
    for change in (
        lambda session: outbox.record_sent(session, late, status=0),
        lambda session: outbox.record_failure(session, late, error="x", status=None, failed_at=0.0, retry_at=None),
        lambda session: outbox.extend_lease(session, late, lease_s=10),
    ):
        with pytest.raises(LeaseLost), world.store.write() as session:
            change(session)
    assert world.statuses(job_id) == ["pending"]
    with world.store.write() as session:
        (current,) = outbox.claim_parcels(session, "pacs", owner="node/pacs", lease_s=10)
    assert current.token > late.token
    with pytest.raises(LeaseLost), world.store.write() as session:
        outbox.record_sent(session, late, status=0)
    assert world.statuses(job_id) == ["sending"]
    assert world.job(job_id).status == "delivering"


@both_databases
def test_two_senders_on_one_destination_send_everything_once(world: World, pacs: ScriptedPacs) -> None:
    jobs = [world.deliver("sr", "sc") for _ in range(12)]
    stop = threading.Event()
    senders = [world.sender(world.destination(pacs.port), owner=f"node-{number}") for number in range(2)]
    threads = [threading.Thread(target=sender.run, args=(stop,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(world.job(job_id).status == "done" for job_id, _ in jobs), within_s=60.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    expected = [result.sop_instance_uid for _, results in jobs for result in results]
    assert sorted(pacs.uids) == sorted(expected)


@both_databases
def test_two_claimers_at_once_never_get_the_same_parcel(world: World) -> None:
    for _ in range(8):
        world.deliver("sr", "sc", "seg")
    claimed: list[int] = []
    barrier = threading.Barrier(4)

    def claim(owner: str) -> None:
        barrier.wait()
        while True:
            with world.store.write() as session:
                parcels = outbox.claim_parcels(session, "pacs", owner=owner, lease_s=60, limit=2)
            if not parcels:
                return
            claimed.extend(parcel.outbox_id for parcel in parcels)

    threads = [threading.Thread(target=claim, args=(f"node-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 24


@sqlite_only
def test_a_damaged_file_is_never_sent_and_given_up_at_once(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("seg", "sr")
    path = world.data_dir / results[0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    world.sender(world.destination(pacs.port)).step()
    assert pacs.asked == [results[1].sop_instance_uid]
    assert world.statuses(job_id) == ["failed", "proven"]
    assert world.job(job_id).status == "undelivered"
    assert hashlib.sha256(content).hexdigest() != world.result(results[0].sop_instance_uid).digest


@sqlite_only
def test_a_file_on_a_share_that_comes_back_is_sent_then(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("sr")
    path = world.data_dir / results[0].path
    away = path.rename(path.with_suffix(".away"))
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    assert world.statuses(job_id) == ["pending"]
    assert pacs.associations == 0
    away.rename(path)
    world.step_until(sender, lambda: world.job(job_id).status == "done")


class StopsOnArrival(ScriptedPacs):
    """The node is asked to stop while it sends."""

    stop_event: threading.Event

    def answer_to(self, event):  # type: ignore[no-untyped-def]
        self.stop_event.set()
        return super().answer_to(event)


def test_a_stop_finishes_the_file_on_its_way_and_gives_the_rest_back(world: World, tmp_path: Path) -> None:
    job_id, _ = world.deliver("seg", "sr", "sc")
    pacs = StopsOnArrival(tmp_path / "pacs")
    pacs.stop_event = threading.Event()
    with pacs:
        thread = threading.Thread(target=world.sender(world.destination(pacs.port)).run, args=(pacs.stop_event,))
        thread.start()
        thread.join(timeout=90)
        assert not thread.is_alive()
    assert len(pacs.asked) == 1
    assert world.statuses(job_id) == ["sent", "pending", "pending"]


def leases(world: World) -> list[float]:
    """How long the leases of what is being sent still run."""
    with world.store.read() as session:
        until_when = session.execute(text("SELECT lease_until FROM outbox WHERE status = 'sending'")).scalars().all()
    return [lease_until - time.time() for lease_until in until_when]


@both_databases
def test_a_slow_peer_costs_no_lease_and_a_dead_node_would_hold_none_for_long(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("sr", "sc")
    with world.store.write() as session:
        session.execute(update(Outbox).values(next_attempt_at=time.time()))
    seen: list[float] = []

    class Slow(type(pacs)):  # type: ignore[misc]
        def answer_to(self, event):  # type: ignore[no-untyped-def]
            for _ in range(25):
                seen.extend(leases(world))
                time.sleep(0.1)
            return super().answer_to(event)

    pacs.__class__ = Slow
    execution = Execution(lease_s=2.0)
    sender = world.sender(world.destination(pacs.port, timeout_s=300.0), execution=execution)
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=60.0)
    assert len(seen) > 50
    assert 0.0 < min(seen) <= max(seen) <= execution.lease_s
    assert pacs.uids == [result.sop_instance_uid for result in results]


def test_what_is_withdrawn_while_the_peer_takes_its_time_stays_held_until_it_answers(
    world: World, pacs: ScriptedPacs
) -> None:
    job_id, _ = world.deliver("sr")
    held: list[float] = []

    class Slow(type(pacs)):  # type: ignore[misc]
        def answer_to(self, event):  # type: ignore[no-untyped-def]
            with world.store.write() as session:
                supersede_job(session, lock_job(session, job_id), reason="more images")
            time.sleep(4.0)
            with world.store.read() as session:
                (row,) = session.scalars(select(Outbox))
                held.append((row.lease_until or 0.0) - time.time())
            return super().answer_to(event)

    pacs.__class__ = Slow
    world.sender(world.destination(pacs.port, timeout_s=30.0), execution=Execution(lease_s=2.0)).step()
    assert len(held) == 1
    assert held[0] > 0.0


@both_databases
def test_a_database_that_fails_in_between_costs_nothing_failure_mode_06(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("sr")
    broken = world.sender(world.destination(pacs.port))
    with world.store.write() as session:
        session.execute(text("ALTER TABLE outbox RENAME TO elsewhere"))
    stop = threading.Event()
    thread = threading.Thread(target=broken.run, args=(stop,))
    thread.start()
    time.sleep(0.3)
    with world.store.write() as session:
        session.execute(text("ALTER TABLE elsewhere RENAME TO outbox"))
    try:
        until(lambda: world.job(job_id).status == "done")
    finally:
        stop.set()
        thread.join()


def test_no_patient_attribute_is_logged(world: World, pacs: ScriptedPacs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.deliver("sr", "seg")
    pacs.statuses = [0xA700]
    world.sender(world.destination(pacs.port)).step()
    ours = [record for record in caplog.records if record.name.startswith("dicomnode")]
    assert {record.getMessage() for record in ours} >= {"result sent", "result not sent"}
    everything = " ".join(str(record.__dict__) for record in ours)
    assert not any(name in everything for name in ("Yamada", "Tarou", "山田"))


def test_polling_an_idle_outbox_asks_the_database_no_more_for_what_was_delivered(
    world: World, pacs: ScriptedPacs
) -> None:
    sender = world.sender(world.destination(pacs.port))
    asked = []
    for count in (1, 20):
        jobs = [world.deliver("sr")[0] for _ in range(count)]
        world.step_until(sender, lambda jobs=jobs: {world.job(job_id).status for job_id in jobs} == {"done"})
        asked.append(statements_of_idle_steps(world, sender))
    assert asked[0] == asked[1] <= 10 * 10


def statements_of_idle_steps(world: World, sender: Sender) -> int:
    """How many statements ten steps send that find nothing to do."""
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(world.store.engine, "before_cursor_execute", note)
    try:
        assert [sender.step() for _ in range(10)] == [0] * 10
    finally:
        event.remove(world.store.engine, "before_cursor_execute", note)
    return len(statements)

"""A destination that answers too late has the result all the same: it is asked before that is sent again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode.config.destinations import WebDestination
from dicomnode.deliver.outgoing import answer_timeout_s
from dicomnode.store.engine import Store
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.web_pacs import Reply, WebPacs, stored
from tests.integration.deliver.world import World


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    """What is asked is the same on every database."""
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield World(store, tmp_path / "data")
    store.close()


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ScriptedPacs]:
    with ScriptedPacs(tmp_path / "pacs") as running:
        yield running


def test_a_pacs_that_always_answers_late_gets_each_result_once(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("seg", "sr")
    pacs.answers_after_s = 1.6
    sender = world.sender(world.destination(pacs.port, timeout_s=1.0))
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=30.0)
    assert sorted(pacs.asked) == sorted(result.sop_instance_uid for result in results)
    assert {event.detail.get("found") for event in world.events("sent")} == {True}
    assert {row.unanswered for row in world.rows(job_id)} == {0}


def test_a_pacs_that_cannot_be_asked_is_given_more_time_at_each_repeat(tmp_path: Path, world: World) -> None:
    pacs = ScriptedPacs(tmp_path / "deaf")
    pacs.offers_find = False
    pacs.answers_after_s = 1.6
    with pacs:
        job_id, results = world.deliver("sr", proof="status")
        sender = world.sender(world.destination(pacs.port, timeout_s=1.0, proof="status"))
        world.step_until(sender, lambda: not {"pending", "sending"} & {*world.statuses(job_id)}, within_s=30.0)
    assert world.statuses(job_id) == ["sent"]
    assert pacs.asked == [results[0].sop_instance_uid] * 2


def test_what_a_pacs_lost_with_the_connection_is_sent_again(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.aborts_after = 0
    world.step_until(world.sender(world.destination(pacs.port)), lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid] * 2


def web(pacs: WebPacs) -> WebDestination:
    return WebDestination(name="pacs", url=pacs.url, timeout_s=1.0, retry_min_s=0.1, retry_max_s=0.4)


def test_a_web_server_that_answers_late_gets_the_result_once(world: World) -> None:
    with WebPacs() as pacs:
        job_id, results = world.deliver("sr")
        uid = results[0].sop_instance_uid
        pacs.replies = [Reply(200, stored(uid), keeps=True, wait_s=3.0)]
        world.step_until(world.sender(web(pacs)), lambda: world.job(job_id).status == "done")
        assert pacs.asked == [uid]


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_that_waited_in_vain_for_a_server_that_stored_it_gets_the_result_once(
    world: World, status: int
) -> None:
    with WebPacs() as pacs:
        job_id, results = world.deliver("sr")
        pacs.replies = [Reply(status, keeps=True)]
        sender = world.sender(web(pacs), echo_interval_s=0.05)
        world.step_until(sender, lambda: world.job(job_id).status == "done")
        assert pacs.asked == [results[0].sop_instance_uid]


def test_the_time_limit_doubles_at_each_repeat_and_has_an_end(world: World) -> None:
    destination = world.destination(104, timeout_s=30.0)
    waited = [answer_timeout_s(destination, 0, unanswered) for unanswered in (0, 1, 2, 5, 10**6)]
    assert waited == [30.0, 60.0, 120.0, 600.0, 600.0]
    patient = world.destination(104, timeout_s=1000.0)
    assert answer_timeout_s(patient, 0, 3) == 1000.0


def test_the_late_answer_holds_up_no_other_result_for_long(world: World, pacs: ScriptedPacs) -> None:
    first, _ = world.deliver("sr")
    pacs.answers_after_s = 1.6
    sender = world.sender(world.destination(pacs.port, timeout_s=1.0))
    sender.step()
    pacs.answers_after_s = 0.0
    began = time.monotonic()
    second, _ = world.deliver("sr")
    world.step_until(sender, lambda: {world.job(job).status for job in (first, second)} == {"done"})
    assert time.monotonic() - began < 10.0

"""A destination that is away for hours or days: nothing is given up early or sent twice, all of it leaves at once.

The node's own modules get a clock that can be put forward; the peers and their sockets are real.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dicomnode.config.destinations import AnyDestination, WebDestination
from dicomnode.deliver.sender import Sender
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import requeue_job
from tests.integration.deliver.pacs import ScriptedPacs, free_port
from tests.integration.deliver.web_pacs import Reply, WebPacs
from tests.integration.deliver.world import World

HOUR_S = 3600.0
ECHO_S = 60.0


class Clock:
    """Stands in for the module ``time``: the same, but ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every module of the node."""
    made = Clock()
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "dicomnode"]
    for module in ours:
        if vars(module).get("time") is time:
            monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield World(store, tmp_path / "data")
    store.close()


Peer = ScriptedPacs | WebPacs


@pytest.fixture(params=["associations", pytest.param("dicomweb", marks=pytest.mark.full)])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """A PACS of either kind that is not there yet."""
    if request.param == "dicomweb":
        return WebPacs(port=free_port())
    return ScriptedPacs(tmp_path / "pacs", port=free_port())


def destination(world: World, peer: Peer, **more: Any) -> AnyDestination:
    """The peer with the back-off of the default configuration: 5 s to 4 h, a week in all."""
    patient = {"retry_min_s": 5.0, "retry_max_s": 14400.0, "give_up_after_h": 168.0, **more}
    if isinstance(peer, WebPacs):
        return WebDestination(name="pacs", url=peer.url, timeout_s=5.0, **patient)
    return world.destination(peer.port, **patient)


def pass_time(clock: Clock, sender: Sender, hours: float, *, step_s: float) -> None:
    """The sender looks at the outbox every ``step_s``."""
    for _ in range(round(hours * HOUR_S / step_s)):
        clock.ahead_s += step_s
        sender.step()


def statuses(world: World, jobs: list[int]) -> Counter[str]:
    """Of all results of these jobs."""
    return Counter(status for job_id in jobs for status in world.statuses(job_id))


def test_what_waited_for_days_is_delivered_once_as_soon_as_an_echo_is_answered_failure_mode_17(
    world: World, clock: Clock, peer: Peer
) -> None:
    jobs: list[int] = []
    for hours in (0.5, 3.0, 20.0, 30.0):
        jobs.append(world.deliver("seg", "sr")[0])
        # A node that is restarted in between begins its back-off anew, and forgets nothing.
        sender = world.sender(destination(world, peer), echo_interval_s=ECHO_S)
        pass_time(clock, sender, hours, step_s=1800.0)
    assert statuses(world, jobs) == {"pending": 8}
    assert max(row.attempts for job_id in jobs for row in world.rows(job_id)) < 40
    with peer:
        clock.ahead_s += ECHO_S
        sender.step()
        assert statuses(world, jobs) == {"proven": 8}
    assert {world.job(job_id).status for job_id in jobs} == {"done"}
    wanted = [row.result_id for job_id in jobs for row in world.rows(job_id)]
    assert len(peer.asked) == len(set(peer.asked)) == len(wanted) == 8


def test_pauses_grow_from_seconds_to_hours_and_a_try_costs_one_connection_failure_mode_17(
    world: World, clock: Clock, tmp_path: Path
) -> None:
    job_id, _ = world.deliver("sr", "sc")
    sender = world.sender(destination(world, WebPacs(port=free_port())), echo_interval_s=1e9)
    pass_time(clock, sender, 0.5, step_s=1.0)
    tries = [event.at for event in world.events("claim") if event.subject_id == world.rows(job_id)[0].id]
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    for pause_s, nominal_s in zip(pauses, (5, 10, 20, 40, 80, 160, 320, 640), strict=False):
        assert 0.8 * nominal_s <= pause_s <= 1.2 * nominal_s + 2.0
    assert 7 <= len(pauses) <= 9


def test_nothing_is_given_up_before_its_time_and_can_be_sent_again_then(world: World, clock: Clock, peer: Peer) -> None:
    early, _ = world.deliver("sr")
    sender = world.sender(destination(world, peer), echo_interval_s=1e9)
    pass_time(clock, sender, 100.0, step_s=1800.0)
    late, _ = world.deliver("sr")
    pass_time(clock, sender, 67.5, step_s=1800.0)
    assert statuses(world, [early, late]) == {"pending": 2}
    pass_time(clock, sender, 5.0, step_s=1800.0)
    assert (world.job(early).status, world.job(late).status) == ("undelivered", "delivering")
    with world.store.write() as session:
        requeue_job(session, early)
    with peer:
        pass_time(clock, sender, 4.5, step_s=1800.0)
    assert {world.job(job_id).status for job_id in (early, late)} == {"done"}
    assert len(peer.asked) == len(set(peer.asked)) == 2


def test_a_server_that_is_overloaded_for_hours_gets_everything_once(world: World, clock: Clock) -> None:
    jobs = [world.deliver("seg", "sr")[0]]
    with WebPacs() as pacs:
        pacs.answers_all = Reply(503)
        sender = world.sender(destination(world, pacs), echo_interval_s=ECHO_S)
        pass_time(clock, sender, 5.0, step_s=600.0)
        jobs.append(world.deliver("sr")[0])
        pass_time(clock, sender, 0.5, step_s=600.0)
        assert statuses(world, jobs) == {"pending": 3}
        pacs.answers_all = None
        clock.ahead_s += ECHO_S
        sender.step()
        assert {world.job(job_id).status for job_id in jobs} == {"done"}
    assert len(pacs.asked) == len(set(pacs.asked)) == 3


def lines(caplog: pytest.LogCaptureFixture, message: str) -> list[logging.LogRecord]:
    """Log lines that say this."""
    return [record for record in caplog.records if record.message == message]


def test_a_destination_that_goes_away_and_comes_back_is_told_once_each_with_what_waits(
    world: World, clock: Clock, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        world.deliver("seg", "sr")
    sender = world.sender(destination(world, peer), echo_interval_s=ECHO_S)
    pass_time(clock, sender, 10.0, step_s=900.0)
    (away,) = lines(caplog, "destination is away")
    assert vars(away)["waiting"] == 4
    loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.message for record in loud if record.name.startswith("dicomnode")] == ["destination is away"]
    world.deliver("sc")
    with peer:
        clock.ahead_s += ECHO_S
        sender.step()
    (back,) = lines(caplog, "destination is back")
    assert (vars(back)["destination"], vars(back)["waiting"]) == ("pacs", 5)


def test_a_job_that_is_done_is_one_line_with_the_seconds_of_its_stages(
    world: World, clock: Clock, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    job_id, _ = world.deliver("seg", "sr")
    clock.ahead_s += 60.0
    with peer:
        sender = world.sender(destination(world, peer))
        sender.step()
        assert world.job(job_id).status == "done"
        sender.step()
    (line,) = lines(caplog, "job done")
    said = vars(line)
    assert (said["job_id"], said["status"], said["task"]) == (job_id, "done", "analysis")
    assert 60.0 <= said["deliver_s"] < 70.0
    assert 0.0 <= said["prove_s"] < 10.0
    assert 60.0 <= said["total_s"] < 80.0
    assert said["queue_s"] < 10.0

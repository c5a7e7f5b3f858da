"""The clock is set while the node runs, or while it is down: what was waited for stays as far away as it was."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from dicomnode.ops.clock import ClockWatch
from dicomnode.store.clinical.late import mark_checked, studies_to_check
from dicomnode.store.clinical.observations import store_context
from dicomnode.store.clinical.patients import record_study
from dicomnode.store.engine import Store
from dicomnode.store.ops import audit
from dicomnode.store.queue.jobs import claim_job, recover_leases
from dicomnode.store.states import SeriesStatus
from dicomnode.store.storage import Storage
from dicomnode.store.tables import Event, Outbox
from tests.integration.assemble.test_assembly import head
from tests.integration.assemble.world import World
from tests.integration.clinical.test_stored_context import ANNA, GCS
from tests.integration.deliver.world import World as Delivering
from tests.integration.store.fixture import both_databases

HOUR_S = 3600.0


class Clock:
    """A wall clock that can be set; all of this process reads it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        self._real = time.time
        monkeypatch.setattr(time, "time", lambda: self._real() + self.ahead_s)

    def wall(self) -> float:
        return time.time()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def world(clock: Clock, store: Store, tmp_path: Path) -> World:
    """A series is complete 2 s after its last image."""
    made = World(store, tmp_path / "data", reception={"quiet_period_s": 2.0, "selection_wait_s": 0.0})
    Storage(store, made.config.spool_dir).bind()
    return made


@pytest.fixture
def watch(world: World, clock: Clock) -> ClockWatch:
    return ClockWatch(world.store, "node", wall=clock.wall)


def be_sent_in_part(world: World) -> list[Any]:
    """A head of which the scanner still has slices: too few to be taken for complete before the quiet time is over."""
    series = head()
    world.send(series[: len(series) // 2], outcome="aborted")
    return series


@pytest.mark.parametrize("by_s", [-HOUR_S, HOUR_S, -30 * 86_400.0])
def test_a_series_is_decided_on_when_its_quiet_time_is_over_whatever_the_clock_says(
    world: World, watch: ClockWatch, clock: Clock, by_s: float
) -> None:
    series = be_sent_in_part(world)
    clock.ahead_s = by_s
    watch.check()
    world.assembler.tick()
    assert world.series(series).status == SeriesStatus.RECEIVING
    time.sleep(2.2)
    watch.check()
    world.assembler.tick()
    assert world.series(series).status != SeriesStatus.RECEIVING


@pytest.mark.parametrize("by_s", [-HOUR_S, HOUR_S])
def test_a_lease_of_a_worker_that_lives_is_kept_and_that_of_a_dead_one_still_runs_out(
    world: World, watch: ClockWatch, clock: Clock, by_s: float
) -> None:
    world.assemble(head())
    world.age(60.0)
    world.settle()
    world.change(lambda session: claim_job(session, owner="node", lease_s=2.0))
    assert world.jobs()[0].status == "running"
    clock.ahead_s = by_s
    watch.check()
    assert world.change(lambda session: recover_leases(session, time.time())) == 0
    time.sleep(2.2)
    assert world.change(lambda session: recover_leases(session, time.time())) == 1


@pytest.mark.parametrize("by_s", [-HOUR_S, HOUR_S])
def test_a_delivery_is_tried_again_and_given_up_after_the_time_that_was_meant(
    world: World, watch: ClockWatch, clock: Clock, by_s: float, tmp_path: Path
) -> None:
    delivering = Delivering(world.store, tmp_path / "data")
    job_id, _ = delivering.deliver("sr")
    (row,) = delivering.rows(job_id)
    world.change(lambda session: session.execute(update(Outbox).values(next_attempt_at=row.created_at + 10.0)))
    clock.ahead_s = by_s
    watch.check()
    (moved,) = delivering.rows(job_id)
    assert moved.created_at == pytest.approx(row.created_at + by_s, abs=1e-3)
    assert moved.next_attempt_at == pytest.approx(row.created_at + 10.0 + by_s, abs=1e-3)


@both_databases
@pytest.mark.parametrize("by_s", [-HOUR_S, HOUR_S])
def test_values_that_come_around_a_step_are_noticed_as_soon_as_ever(
    world: World, watch: ClockWatch, clock: Clock, by_s: float
) -> None:
    def to_check() -> list[tuple[str, float]]:
        """Studies of whose patients something is new, and how long ago it came: as a running node looks."""
        now = time.time()
        found = world.change(
            lambda session: studies_to_check(session, since=now - 60, seen_since=now - 120, slack_s=0.0)
        )
        return [(one.study_uid, now - one.newest_at) for one in found]

    def tell(value: float) -> None:
        world.change(lambda session: store_context(session, [replace(GCS, value=value)], ()))

    world.change(lambda session: record_study(session, "1.2.3", ANNA, None))
    time.sleep(1.1)
    tell(10.0)
    clock.ahead_s = by_s
    watch.check()
    ((study_uid, age_s),) = to_check()
    assert (study_uid, -1.0 < age_s < 30.0) == ("1.2.3", True)
    world.change(lambda session: mark_checked(session, "1.2.3", time.time()))
    assert to_check() == []
    clock.ahead_s = 2 * by_s
    watch.check()
    assert to_check() == []
    tell(11.0)
    assert [study_uid for study_uid, _ in to_check()] == ["1.2.3"]


@both_databases
def test_who_sends_the_audit_keeps_his_lease_no_longer_than_was_meant(
    world: World, watch: ClockWatch, clock: Clock
) -> None:
    world.change(audit.read_on)  # makes the row
    assert world.change(lambda session: audit.take_turn(session, "node-1", for_s=2.0))
    clock.ahead_s = -HOUR_S
    watch.check()
    assert not world.change(lambda session: audit.take_turn(session, "node-2", for_s=2.0))
    time.sleep(2.2)
    assert world.change(lambda session: audit.take_turn(session, "node-2", for_s=2.0))


def events(store: Store) -> list[float]:
    with store.read() as session:
        return [event.detail["by_s"] for event in session.scalars(select(Event).where(Event.name == "stepped"))]


@both_databases
def test_a_step_is_said_in_one_line_and_in_one_event(
    world: World, watch: ClockWatch, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.ahead_s = -HOUR_S
    for _ in range(3):
        watch.check()
    lines = [record for record in caplog.records if getattr(record, "action", "") == "clock"]
    assert [(line.levelname, round(line.by_s)) for line in lines] == [("WARNING", -3600)]
    assert [round(by_s) for by_s in events(world.store)] == [-3600]


def test_a_clock_that_is_slewed_moves_nothing(world: World, watch: ClockWatch, clock: Clock) -> None:
    for _ in range(20):
        clock.ahead_s += 0.5
        watch.check()
    assert events(world.store) == []


@both_databases
def test_two_processes_that_see_the_same_step_move_the_times_once_and_one_that_sees_two_moves_them_twice(
    world: World, watch: ClockWatch, clock: Clock
) -> None:
    other = ClockWatch(world.store, "other", wall=clock.wall)
    series = be_sent_in_part(world)
    before = world.series(series).last_instance_at
    clock.ahead_s = -HOUR_S
    watch.check()
    other.check()
    assert world.series(series).last_instance_at == pytest.approx(before - HOUR_S, abs=1e-3)
    clock.ahead_s = -2 * HOUR_S
    watch.check()
    assert world.series(series).last_instance_at == pytest.approx(before - 2 * HOUR_S, abs=1e-3)


def test_a_clock_that_was_set_back_while_the_node_was_down_is_noticed_at_its_start(
    world: World, watch: ClockWatch, clock: Clock
) -> None:
    series = be_sent_in_part(world)
    watch.check()
    clock.ahead_s = -HOUR_S
    started = ClockWatch(world.store, "node", wall=clock.wall)
    started.start()
    due_at = world.series(series).due_at
    assert due_at is not None
    assert abs(due_at - time.time()) < 60.0


def test_a_start_after_a_long_pause_moves_nothing(world: World, watch: ClockWatch, clock: Clock) -> None:
    watch.check()
    clock.ahead_s = 30 * 86_400.0
    ClockWatch(world.store, "node", wall=clock.wall).start()
    assert events(world.store) == []

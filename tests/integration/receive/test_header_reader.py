"""The process that reads headers is killed, hangs, or meets what ends it: other images are stored all the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dicomnode.errors import ReceiveError, Refusal
from dicomnode.receive import header_process
from dicomnode.receive.header_process import HeaderProcess
from dicomnode.receive.intake import Arrival, Outcome
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.receive.writer import GroupWriter
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.receive.receptions import Indexed
from dicomnode.store.tables import Instance
from tests.integration.attack import bombs
from tests.integration.receive import peers
from tests.integration.receive.peers import CT_IMAGE, ScriptedPeer, ct_slice, encoded, sent
from tests.integration.receive.test_groups import arrival, peer
from tests.integration.receive.world import Reception, wait_until

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
MIB = 1 << 20


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield opened
    opened.close()


@pytest.fixture
def reception(store: Store, new_reception: Callable[..., Reception]) -> Reception:
    return new_reception(store)


class Writing:
    """A writer of its own, whose process that reads headers has other limits."""

    def __init__(self, reception: Reception, **limits: float) -> None:
        self.reception = reception
        self.writer = GroupWriter(reception.scp._intake)
        self.headers = self.writer._headers
        self.headers.process = HeaderProcess(self.headers._stopping.is_set, **limits)
        self.told: dict[Arrival, Outcome] = {}
        self.arrivals: list[Arrival] = []
        self.writer.start()

    @property
    def pid(self) -> int:
        """Of the process that reads headers."""
        found = self.headers.process.pid
        assert found is not None
        return found

    def submit(self, *arrivals: Arrival) -> None:
        self.arrivals += arrivals
        for one in arrivals:
            self.writer.submit(one, lambda outcome, one=one: self.told.update({one: outcome}))

    def outcomes(self) -> list[Outcome]:
        """What became of all, in the order in which they were submitted."""
        wait_until(lambda: len(self.told) == len(self.arrivals), 120)
        return [self.told[one] for one in self.arrivals]

    def warm_up(self) -> None:
        """Until the process is ready."""
        self.submit(arrival(self.reception, 100, peer("CT1")))
        assert self.outcomes() == [Indexed.NEW]

    def wait_until_asked(self, count: int) -> None:
        wait_until(lambda: len(self.headers._asked) == count)


@pytest.fixture
def writing(reception: Reception) -> Iterator[Callable[..., Writing]]:
    with contextlib.ExitStack() as ends:

        def make(**limits: float) -> Writing:
            made = Writing(reception, **limits)
            ends.callback(made.writer.stop)
            return made

        yield make


def rows(reception: Reception) -> dict[str, Instance]:
    return {row.sop_instance_uid: row for row in reception.instances()}


def arrival_of(reception: Reception, sop_instance: str, data_set: bytes) -> Arrival:
    origin = Origin(CT_IMAGE, sop_instance, peers.EXPLICIT_LE, "CT1", "NODE")
    incoming = reception.spool.open(preamble_of(origin))
    incoming.write(data_set)
    return Arrival(incoming=incoming, origin=origin, peer=peer("CT1"))


def split(uid: str) -> tuple[bytes, bytes]:
    """A CT slice in front of its pixels, and these."""
    whole = encoded(ct_slice(sop_uid=uid))
    return whole[: -2048 - 12], whole[-2048 - 12 :]


def slow_slice(reception: Reception, uid: str) -> Arrival:
    """Within the bounds of what is read, and pydicom takes some tenths of a second for it."""
    head, pixels = split(uid)
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 9_000 + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    sequence = struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF) + items
    return arrival_of(reception, uid, head + sequence + pixels)


def test_a_process_that_was_killed_while_nothing_came_is_another_for_the_next_image(reception: Reception) -> None:
    process = reception.scp._writer._headers.process
    with ScriptedPeer(reception.port) as scripted:
        scripted.associate()
        assert sent(scripted, ct_slice(number=1)) == SUCCESS
        before = process.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: process.pid is None)
        assert sent(scripted, ct_slice(number=2)) == SUCCESS
    assert process.pid not in (None, before)
    assert [row.status for row in reception.instances()] == ["used", "used"]


def test_images_that_a_killed_process_was_asked_for_are_read_by_another(
    reception: Reception, writing: Callable[..., Writing], caplog: pytest.LogCaptureFixture
) -> None:
    one = writing()
    one.warm_up()
    before = one.pid
    os.kill(before, signal.SIGSTOP)
    one.submit(*[arrival(reception, number, peer("CT1")) for number in (1, 2, 3)])
    one.wait_until_asked(3)
    os.kill(before, signal.SIGKILL)
    assert one.outcomes() == [Indexed.NEW] * 4
    assert one.pid != before
    assert [row.status for row in reception.instances()] == ["used"] * 4
    assert "the process that reads headers has ended" in caplog.messages


def test_a_process_that_hangs_is_killed_and_its_images_are_read_by_another(
    reception: Reception, writing: Callable[..., Writing]
) -> None:
    one = writing(answer_s=2.0)
    one.warm_up()
    before = one.pid
    os.kill(before, signal.SIGSTOP)
    one.submit(*[arrival(reception, number, peer("CT1")) for number in (1, 2)])
    assert one.outcomes() == [Indexed.NEW] * 3
    assert not psutil.pid_exists(before)


def test_where_every_process_hangs_the_sender_is_told_to_try_again(
    reception: Reception, writing: Callable[..., Writing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_process, "START_S", 2.0)
    one = writing(answer_s=1.0)
    os.kill(one.pid, signal.SIGSTOP)
    one.submit(arrival(reception, 1, peer("CT1")))
    (outcome,) = one.outcomes()
    assert isinstance(outcome, ReceiveError)
    assert outcome.status == OUT_OF_RESOURCES
    assert not reception.instances()
    assert not reception.half_files()
    one.submit(arrival(reception, 2, peer("CT1")))
    assert one.outcomes()[1] == Indexed.NEW


def test_a_process_that_does_not_start_is_told_as_out_of_resources_and_is_there_again(
    reception: Reception, writing: Callable[..., Writing], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(header_process, "PROGRAM", "dicomnode.absent")
        one = writing()
        one.submit(arrival(reception, 1, peer("CT1")))
        (outcome,) = one.outcomes()
        assert isinstance(outcome, ReceiveError)
        assert outcome.status == OUT_OF_RESOURCES
    one.submit(arrival(reception, 2, peer("CT1")))
    assert one.outcomes()[1] == Indexed.NEW


def test_a_header_that_ends_two_processes_is_kept_with_its_code_and_costs_the_others_nothing(
    reception: Reception, writing: Callable[..., Writing], caplog: pytest.LogCaptureFixture
) -> None:
    one = writing()
    one.warm_up()
    bad = slow_slice(reception, "1.2.3.1.1.9")
    one.submit(bad, *[arrival(reception, number, peer("CT1")) for number in (1, 2)])
    killed: set[int] = set()
    while len(killed) < 2:
        asked, process = one.headers._asked, one.headers.process
        if process._is_ready and process.pid not in (None, *killed) and asked and asked[0] is bad:
            killed.add(one.pid)
            process._process.kill()
        time.sleep(0.005)
    assert one.outcomes() == [Indexed.NEW] * 4
    row = rows(reception)["1.2.3.1.1.9"]
    assert (row.status, row.reason, row.study_uid) == ("not_used", Refusal.UNREADABLE, "1.2.3.1")
    assert (reception.spool.root / row.path).stat().st_size == row.size_bytes
    assert sum(row.status == "used" for row in reception.instances()) == 3
    assert caplog.messages.count("the process that reads headers has ended") == 2
    assert [record.refusal for record in caplog.records if hasattr(record, "refusal")] == [Refusal.UNREADABLE]
    with reception.store.read() as session:
        assert "unreadable" in [event.name for event in events_of(session, "1.2.3.1.1.9")]


def test_headers_that_take_too_much_processor_time_end_the_process_and_are_kept(
    reception: Reception, writing: Callable[..., Writing], caplog: pytest.LogCaptureFixture
) -> None:
    # The system counts whole seconds: whatever is read when the next one is full goes beyond its time.
    one = writing(processor_s=0.0)
    one.submit(*[slow_slice(reception, f"1.2.3.1.1.{number}") for number in range(10, 30)])
    one.submit(arrival(reception, 1, peer("CT1")))
    assert one.outcomes() == [Indexed.NEW] * 21
    assert f"exit code {-signal.SIGXCPU}" in " ".join(str(vars(record).get("error", "")) for record in caplog.records)
    kept = rows(reception)
    assert len(kept) == 21
    assert {row.reason for row in kept.values()} <= {"", Refusal.UNREADABLE}
    # On a slow machine what stands in front of a header may take its second, too: then no study is known.
    assert {row.study_uid for row in kept.values() if not row.reason} == {"1.2.3.1"}


def test_a_header_that_takes_too_much_memory_is_kept_with_its_code(
    reception: Reception, writing: Callable[..., Writing]
) -> None:
    one = writing(memory_bytes=2 * MIB)
    one.warm_up()
    before, (head, pixels) = one.pid, split("1.2.3.1.1.1")
    flood = b"".join(bombs.element(0x0029 + 2 * group, 0x1001, b"LO", b"") for group in range(9_000))
    one.submit(arrival_of(reception, "1.2.3.1.1.1", head + flood + pixels), arrival(reception, 2, peer("CT1")))
    assert one.outcomes() == [Indexed.NEW] * 3
    row = rows(reception)["1.2.3.1.1.1"]
    assert (row.status, row.reason) == ("not_used", Refusal.HEADER_TOO_LARGE)
    assert one.pid == before


def test_a_node_that_stops_does_not_wait_for_a_process_that_hangs(
    reception: Reception, writing: Callable[..., Writing]
) -> None:
    one = writing()
    one.warm_up()
    hung = one.pid
    os.kill(hung, signal.SIGSTOP)
    one.submit(arrival(reception, 1, peer("CT1")))
    one.wait_until_asked(1)
    began = time.monotonic()
    one.writer.stop()
    assert time.monotonic() - began < header_process.ANSWER_S / 2
    outcome = one.outcomes()[1]
    assert isinstance(outcome, ReceiveError)
    assert outcome.status == OUT_OF_RESOURCES
    assert not psutil.pid_exists(hung)
    assert not reception.half_files()


def test_a_killed_receiver_leaves_no_process_behind(sqlite_template: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}"
    command = [sys.executable, "-m", "tests.integration.receive.receiving_process", url, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert int(process.stdout.readline())
            (reader,) = psutil.Process(process.pid).children()
            assert header_process.PROGRAM in reader.cmdline()
        finally:
            process.kill()
    wait_until(lambda: not reader.is_running() or reader.status() == psutil.STATUS_ZOMBIE)


def test_the_process_reads_within_limits_and_leaves_no_core(reception: Reception) -> None:
    with ScriptedPeer(reception.port) as scripted:
        assert sent(scripted.associate(), ct_slice()) == SUCCESS
    reader = psutil.Process(reception.scp._writer._headers.process.pid)
    memory, _ = reader.rlimit(psutil.RLIMIT_AS)
    assert header_process.MEMORY_BYTES < memory < header_process.MEMORY_BYTES + 2 * reader.memory_info().vms
    assert 0 < reader.rlimit(psutil.RLIMIT_CPU)[0] < header_process.PROCESSOR_S + 60
    assert reader.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert reader.num_threads() == 2

"""A node in a process of its own that is attacked, and what must hold of it afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from sqlalchemy import select

from dicomnode.dicom.statuses import OUT_OF_RESOURCES, SUCCESS
from dicomnode.dicom.uids import usable_uid
from dicomnode.receive.part10 import data_offset_of
from dicomnode.store.engine import Store
from dicomnode.store.tables import ClinicalValue, Instance, MergedPatient
from tests.integration.attack.hl7_messages import Expected
from tests.integration.receive.peers import VERIFICATION, ScriptedPeer, ct_slice, sent
from tests.tools.hl7_messages import Hl7Peer, message, obr, pid

IDLE_S = 10
WARM_UP = 16
STOP_S = 60.0
ECHO_S = 1.0
BACK_S = 40.0
"""How long threads and descriptors have for coming back: idle connections are closed after ``IDLE_S``."""
GROWTH_BYTES = 200 << 20
"""Caches, fragmented memory and the bounds of what is read at one time."""
KEPT_LINES = 2_000
DEADLY = frozenset(
    {
        "a thread died",
        "a part of the node died",
        "an error that nobody can catch",
        "connection broke",
        "request not judged",
    }
)
"""Log messages that say that something of the node broke, not only what a peer sent."""

LAUNCHER = """
import signal, sys, threading, traceback

out = open(sys.argv.pop(1), "w")

def write(*_):
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        print(names.get(ident, ident), *traceback.format_stack(frame), sep="\\n", file=out, flush=True)

signal.signal(signal.SIGUSR2, write)
from dicomnode.cli.main import main
main()
"""
"""Runs the command line; a signal has it write what each of its threads does, while none of them runs: a dump by
``faulthandler``, which looks at frames that change, may end the process."""

CONFIG = """
[node]
ae_title = "NODE"
host = "127.0.0.1"
port = {port}
data_dir = "{data}"
[reception]
settle_s = 0.1
quiet_period_s = 1.0
idle_timeout_s = {idle}
max_associations = 200
min_free_gb = 0
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 1
[[protocol]]
name = "head-ct"
match = {{ Modality = "^CT$" }}
models = ["hemorrhage"]
destinations = ["pacs"]
[clinical]
issuer = "HOSPITAL"
[clinical.hl7]
port = {hl7}
host = "127.0.0.1"
message_timeout_s = 5.0
idle_timeout_s = {idle}
max_message_bytes = 200000
"""


@dataclass
class Verdict:
    """What was found wrong; empty is right."""

    faults: list[str] = field(default_factory=list)
    slowest_echo_s: float = 0.0
    growth_mib: float = 0.0


class Target:
    """``dicomnode serve --role receive`` on a free port."""

    def __init__(self, folder: Path) -> None:
        self.data, self.port, self.hl7_port = folder / "data", _free_port(), _free_port()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.toml"
        config.write_text(CONFIG.format(port=self.port, hl7=self.hl7_port, data=self.data, idle=IDLE_S))
        self._stacks = folder / "stacks.txt"
        command = [sys.executable, "-c", LAUNCHER, str(self._stacks)]
        command += ["serve", "--config", str(config), "--role", "receive"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.messages: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.raw: list[str] = []
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.held: list[socket.socket] = []
        self.told: list[Expected] = []
        self.verdict = Verdict()
        self.on_hang: Callable[[], None] = lambda: None
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self._wait_until_it_answers()
            self._warm_up()
        except BaseException:
            # Whoever did not get this object cannot stop the process.
            self.stop()
            raise
        self.store = Store(f"sqlite:///{self.data / 'node.db'}")
        self._at_rest = self._resources()
        self._memory = psutil.Process(self.process.pid).memory_info().rss

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.store.close()
        self.stop()
        self._reader.join(60)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def stop(self) -> None:
        """End it as a service manager does; one that does not go in time is a fault, and is killed."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.verdict.faults.append(f"did not stop within {STOP_S:.0f} s")
            self.on_hang()
            self.process.kill()
            self.process.wait()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.last_lines.append(line.rstrip())
            try:
                said = json.loads(line)
                self.messages[said["message"]] += 1
            except (ValueError, KeyError, TypeError):
                self.raw.append(line.rstrip())
                continue
            if said["message"] == "instance refused":
                self.refusals[said.get("reason", "")] += 1

    def stacks(self, wait_s: float) -> str:
        """What each thread of the node does now; empty where it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR2)
            time.sleep(wait_s)
        return self._stacks.read_text() if self._stacks.exists() else ""

    def resources_now(self) -> dict[str, Any]:
        """Threads, descriptors, resident bytes and processor seconds; empty where the node is gone."""
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(self.process.pid)
            threads, descriptors = self._resources()
            memory, times = process.memory_info().rss, process.cpu_times()
            return {"threads": threads, "descriptors": descriptors, "rss": memory, "cpu_s": times.user + times.system}
        return {}

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.echo()
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"the node did not start: {self.raw[-5:]}")

    def _warm_up(self) -> None:
        """Several at a time, so that pools of connections and threads have their size."""

        def send(number: int) -> None:
            with ScriptedPeer(self.port, timeout_s=60) as peer:
                peer.associate()
                for image in range(3):
                    image_sent = ct_slice(f"1.2.{number}", f"1.2.{number}.1", image)
                    while (status := sent(peer, image_sent)) == OUT_OF_RESOURCES:
                        time.sleep(0.2)  # as a scanner does: on a slow machine so many at once wait for the database
                    assert status == SUCCESS
                peer.release()

        with ThreadPoolExecutor(WARM_UP) as pool:
            list(pool.map(send, range(2 * WARM_UP)))
        time.sleep(2)

    def echo(self) -> float:
        """Seconds until a new association had its C-ECHO answered."""
        began = time.monotonic()
        with ScriptedPeer(self.port, timeout_s=60) as peer:
            assert peer.associate([VERIFICATION]).echo() == 0
            peer.release()
        return time.monotonic() - began

    def hl7_answer(self) -> float:
        """Seconds until a message on a new connection was acknowledged."""
        began = time.monotonic()
        with Hl7Peer(self.hl7_port, timeout_s=60) as peer:
            assert peer.send(message(pid("ECHO"), obr())).code == "AA"
        return time.monotonic() - began

    def let_go(self) -> None:
        """Close the connections of peers that fell silent."""
        for connection in self.held:
            connection.close()
        self.held.clear()

    def _resources(self) -> tuple[int, int]:
        """Threads, and descriptors but those of the pool of database connections, which has a size of its own."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        opened = []
        for entry in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                opened.append(str(entry.readlink()))
        database = str(self.data / "node.db")
        return psutil.Process(self.process.pid).num_threads(), sum(not name.startswith(database) for name in opened)

    def judge(self, acknowledged: Iterable[str]) -> Verdict:
        """Look at the node after a batch.

        Parameters
        ----------
        acknowledged : SOP instance UIDs that it said Success to.
        """
        if self.process.poll() is not None:
            self.verdict.faults.append(f"died with exit code {self.process.returncode}")
            return self.verdict
        self._judge_answer()
        self._judge_resources()
        self._judge_images(acknowledged)
        self._judge_values()
        self._judge_log()
        return self.verdict

    def _judge_answer(self) -> None:
        # The best of three: a machine that is busy with something else is slow, too.
        fastest = min(max(self.echo(), self.hl7_answer()) for _ in range(3))
        self.verdict.slowest_echo_s = max(self.verdict.slowest_echo_s, fastest)
        if fastest > ECHO_S:
            self.verdict.faults.append(f"C-ECHO or an HL7 message took {fastest:.1f} s")

    def _judge_resources(self) -> None:
        deadline = time.monotonic() + BACK_S
        threads, descriptors = self._at_rest
        while any(now > then + 6 for now, then in zip(self._resources(), (threads, descriptors), strict=True)):
            if time.monotonic() > deadline:
                self.verdict.faults.append(f"threads and descriptors {self._resources()} instead of {self._at_rest}")
                break
            time.sleep(0.2)
        growth = psutil.Process(self.process.pid).memory_info().rss - self._memory
        self.verdict.growth_mib = max(self.verdict.growth_mib, growth / (1 << 20))
        if growth > GROWTH_BYTES:
            self.verdict.faults.append(f"{growth >> 20} MiB of memory more")

    def _judge_images(self, acknowledged: Iterable[str]) -> None:
        wanted = {usable_uid(uid) for uid in acknowledged}
        with self.store.read() as session:
            rows = {row.sop_instance_uid: row for row in session.scalars(select(Instance))}
        for uid in sorted(wanted):
            row = rows.get(uid)
            path = self.data / "spool" / row.path if row is not None else None
            if row is None or path is None or not path.exists():
                self.verdict.faults.append(f"acknowledged and lost: {uid}")
            elif hashlib.sha256(path.read_bytes()[data_offset_of(path) :]).hexdigest() != row.digest:
                self.verdict.faults.append(f"acknowledged and changed: {uid}")

    def _judge_values(self) -> None:
        """What HL7 messages told and was acknowledged is in the database, as it was told."""
        with self.store.read() as session:
            rows = {(row.patient_id, row.name, row.value) for row in session.scalars(select(ClinicalValue))}
            merged = {(row.patient_id, row.survivor_id) for row in session.scalars(select(MergedPatient))}
        for one in self.told:
            lost = [name for name, value in one.values if (one.patient_id, name, value) not in rows]
            lost += ["merge"] if one.merged_into and (one.merged_into, one.patient_id) not in merged else []
            if lost:
                self.verdict.faults.append(f"message {one.number} was acknowledged, and {', '.join(lost)} lost")

    def _judge_log(self) -> None:
        deadly = {message: count for message, count in self.messages.items() if message in DEADLY}
        if deadly:
            self.verdict.faults.append(f"the log says {deadly}")
        if self.raw:
            self.verdict.faults.append(f"{len(self.raw)} lines that are no log lines, such as {self.raw[0]!r}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])

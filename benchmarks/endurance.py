"""What reception costs in the long run: many images, many tiny ones, many slow connections.

    python -m benchmarks.endurance [--images 10000] [--tiny 50000] [--slow 2000] [--minutes 10] [--receivers 1]

A node that receives and assembles, with SQLite, in a folder below the working directory. Beside the tiny instances,
which all belong to one series, and beside the slow connections, each of which says a byte a second, an honest scanner
stores an image every half second, from an address of its own: how often it got through and how long it waited is
printed. Memory is that of all processes of the node.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import psutil
from pydicom.uid import generate_uid
from rich.progress import track

from tests.acceptance.orthanc import free_port
from tests.acceptance.served import ServedNode
from tests.integration.receive.peers import CT_IMAGE, ScriptedPeer, ct_slice, encoded, sent

PLACEHOLDER = "1.2.3.4." + "9" * 20
ROWS = 128
PAUSE_S = 0.5
BYTE_EVERY_S = 1.0
REQUEST = bytes([1, 0, 0, 0, 4, 0]) + bytes(1024)
"""Of an A-ASSOCIATE-RQ: type, length, and what would follow."""


class Honest:
    """A scanner that stores an image every half second; notes how long each took, its association included."""

    def __init__(self, node: ServedNode) -> None:
        self._node, self._over = node, threading.Event()
        self.seconds: list[float] = []
        self.tried = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Honest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(PAUSE_S):
            self.tried += 1
            began = time.perf_counter()
            with contextlib.suppress(OSError, AssertionError), peer_of(self._node, "HONEST", "127.0.0.2") as peer:
                status = sent(peer.associate(), ct_slice("1.2.3.77", "1.2.3.77.1", self.tried))
                peer.release()
                self.seconds.append(time.perf_counter() - began if status == 0 else float("inf"))

    def told(self) -> str:
        """In words."""
        if not self.seconds:
            return "the honest scanner stored nothing"
        times = f"{1e3 * median(self.seconds):.0f} ms, the slowest {1e3 * max(self.seconds):.0f} ms"
        return f"{len(self.seconds)} of {self.tried} images of the honest scanner stored, median {times}"


def peer_of(node: ServedNode, calling: str, address: str = "127.0.0.1") -> ScriptedPeer:
    """A scanner's connection."""
    return ScriptedPeer(node.port, calling=calling, called=node.ae_title, address=address)


def megabytes(node: ServedNode) -> float:
    """Resident, all processes of the node."""
    assert node.process is not None
    supervisor = psutil.Process(node.process.pid)
    return float(sum(one.memory_info().rss for one in (supervisor, *supervisor.children(recursive=True)))) / 1e6


def instances(count: int, rows: int, series_uid: str) -> Iterator[tuple[str, bytes]]:
    """SOP instance UID and data set of so many instances of one series, encoded once."""
    data = encoded(ct_slice("1.2.3.4", series_uid, sop_uid=PLACEHOLDER, rows=rows))
    for number in range(count):
        uid = f"1.2.3.4.{number + 10**19}"
        yield uid, data.replace(PLACEHOLDER.encode(), uid.encode())


def store_all(node: ServedNode, count: int, rows: int, what: str, every: Callable[[int], None]) -> float:
    """Store instances over one association; seconds. ``every`` is called with the number of each."""
    began = time.perf_counter()
    with peer_of(node, "MANY") as peer:
        peer.associate()
        series_uid = generate_uid()
        for number, (uid, data) in enumerate(track(instances(count, rows, series_uid), what, total=count)):
            peer.store(CT_IMAGE, uid, data)
            every(number)
        peer.release()
    return time.perf_counter() - began


def many_images(node: ServedNode, count: int) -> None:
    """Print the memory beside the number of images."""
    seen: list[float] = []

    def look(number: int) -> None:
        if number % max(count // 10, 1) == 0:
            seen.append(megabytes(node))

    seconds = store_all(node, count, ROWS, "images", look)
    memory = ", ".join(f"{mb:.0f}" for mb in seen)
    print(f"{count} images of {ROWS} x {ROWS}: {count / seconds:.0f}/s; MB resident: {memory}")


def many_tiny(node: ServedNode, count: int) -> None:
    """Print what an honest scanner waits beside a series of tiny instances."""
    with Honest(node) as honest:
        seconds = store_all(node, count, 8, "tiny instances", lambda _: None)
    print(f"{count} tiny instances of one series: {count / seconds:.0f}/s, {megabytes(node):.0f} MB; {honest.told()}")


class Slow:
    """A connection that says an A-ASSOCIATE-RQ a byte at a time, and comes again where it is closed."""

    def __init__(self, port: int) -> None:
        self._port, self._said = port, 0
        self._connection: socket.socket | None = None
        self.closed = 0

    def say(self) -> None:
        """One byte more."""
        try:
            if self._connection is None:
                self._connection, self._said = socket.create_connection(("127.0.0.1", self._port), timeout=5), 0
                self._connection.setblocking(False)
            self._connection.send(REQUEST[self._said : self._said + 1])
            self._said += 1
            self._connection.recv(16)
        except BlockingIOError:
            return
        except OSError:
            pass
        self.closed += 1
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def many_slow(node: ServedNode, count: int, minutes: float) -> None:
    """Print memory and what an honest scanner waits beside slow connections."""
    every = [Slow(node.port) for _ in range(count)]
    end, seen = time.monotonic() + 60 * minutes, []
    with Honest(node) as honest:
        while time.monotonic() < end:
            began = time.monotonic()
            for one in every:
                one.say()
            seen.append(megabytes(node))
            time.sleep(max(0.0, BYTE_EVERY_S - (time.monotonic() - began)))
    for one in every:
        one.close()
    memory = "MB resident: " + ", ".join(f"{mb:.0f}" for mb in seen[:: max(len(seen) // 10, 1)])
    closed = sum(one.closed for one in every)
    print(f"{count} slow connections for {minutes:g} min, {closed} times closed by the node: {memory}; {honest.told()}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--tiny", type=int, default=50_000)
    parser.add_argument("--slow", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=10.0, help="that the slow ones stay")
    parser.add_argument("--receivers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".endurance-") as folder:
        pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": free_port()}
        reception = {"receivers": given.receivers}
        with ServedNode(Path(folder), free_port(), [pacs], reception=reception, role="receive") as node:
            node.start()
            if given.images:
                many_images(node, given.images)
            if given.tiny:
                many_tiny(node, given.tiny)
            if given.slow:
                many_slow(node, given.slow, given.minutes)
            node.stop()


if __name__ == "__main__":
    main()

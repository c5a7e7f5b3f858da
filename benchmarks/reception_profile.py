"""Where the time of an image goes on its way in: ``python -m benchmarks.reception_profile [--slices N] [--url URL]``.

A reception with fsync and database as in production runs in this process, each step of an image timed in the thread
that does it; dcmtk's ``dcmsend`` sends CT series of 512 x 512 from outside, from one association and from four. Printed
for each step: the processor's time and the time it took, of which the difference is waiting, for the disk or for
another thread; both in microseconds of an image. Images that come together share a group, hence some steps. What the
process needed beyond all steps (threads that are woken, the interpreter) stands in the last line.
"""

from __future__ import annotations

import argparse
import asyncio.base_events
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.reception import make_series, send
from dicomnode.config.whole import Config
from dicomnode.receive import intake
from dicomnode.receive.header_process import PROGRAM
from dicomnode.receive.header_reader import HeaderReader
from dicomnode.receive.intake import Intake
from dicomnode.receive.line import Line
from dicomnode.receive.scp import StorageScp, spool_of
from dicomnode.receive.spool import IncomingFile, Spool
from dicomnode.receive.writer import GroupWriter
from dicomnode.store.engine import Store

STEPS: dict[str, tuple[Any, str]] = {
    "sockets and event loop": (asyncio.base_events.BaseEventLoop, "_run_once"),
    "PDUs cut, messages put together": (Line, "buffer_updated"),
    "bytes hashed (SHA-256) and written": (IncomingFile, "write"),
    "file synchronised": (IncomingFile, "sync"),
    "header asked for": (HeaderReader, "ask"),
    "header waited for, taken": (HeaderReader, "collect"),
    "record made of it": (Intake, "describe"),
    "writer: waiting for what is prepared": (GroupWriter, "_write"),
    "named in its folder": (Spool, "commit"),
    "folder synchronised": (Spool, "sync"),
    "temporary file closed": (IncomingFile, "discard"),
    "rows: statements": (intake, "index_instances"),
    "rows: transaction, commit": (Intake, "_index"),
    "answered": (Line, "answer"),
}
"""What is done for an image, and by what."""
ELSEWHERE = "header read, by a process of its own"


class Stopwatch:
    """Time spent in steps, that in steps within them left out; of all threads."""

    def __init__(self) -> None:
        self.cpu_ns: Counter[str] = Counter()
        self.wall_ns: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._within = threading.local()

    def timed(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, timed."""

        @wraps(work)
        def timed(*arguments: Any, **more: Any) -> Any:
            outer = getattr(self._within, "step", None)
            inner = self._within.step = [0, 0]
            cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
            try:
                return work(*arguments, **more)
            finally:
                cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
                self._within.step = outer
                if outer is not None:
                    outer[0] += cpu
                    outer[1] += wall
                with self._lock:
                    self.cpu_ns[step] += cpu - inner[0]
                    self.wall_ns[step] += wall - inner[1]

        return timed

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self.cpu_ns.clear()
            self.wall_ns.clear()


def measure(port: int, watch: Stopwatch, folders: list[Path], images: int) -> None:
    """Send all folders at once and print where the time went."""
    watch.clear()
    reader_s, cpu_s, began = reader_cpu_s(), time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(len(folders)) as pool:
        list(pool.map(lambda folder: send(port, folder), folders))
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    reader_s = reader_cpu_s() - reader_s
    rate, title = images / wall_s, f"{len(folders)} association(s), {images} images"
    table = Table("step", "processor µs", "took µs", title=f"{title}: {rate:.0f}/s, {1e6 / rate:.0f} µs an image")
    for step in STEPS:
        took = "" if step.startswith("sockets") else f"{watch.wall_ns[step] / images / 1e3:.0f}"
        table.add_row(step, f"{watch.cpu_ns[step] / images / 1e3:.0f}", took)
    beyond = cpu_s * 1e9 - sum(watch.cpu_ns.values())
    table.add_row("beyond these", f"{beyond / images / 1e3:.0f}", "")
    table.add_row("all of the process that receives", f"{1e6 * cpu_s / images:.0f}", "", style="bold")
    table.add_row(ELSEWHERE, f"{1e6 * reader_s / images:.0f}", "")
    Console(width=100).print(table)


def reader_cpu_s() -> float:
    """Processor seconds so far of the process that reads headers."""
    return sum(sum(one.cpu_times()[:2]) for one in psutil.Process().children() if PROGRAM in one.cmdline())


def reception(root: Path, url: str) -> StorageScp:
    """A reception on a free port, with nothing behind it."""
    config = Config.model_validate(
        {"node": {"port": 0, "host": "127.0.0.1", "data_dir": root}, "database": {"url": url}}
    )
    store = Store(url)
    store.migrate()
    scp = StorageScp(config, store, spool_of(config, "benchmark"), "benchmark")
    scp.start()
    return scp


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=200, help="of each series")
    parser.add_argument("--as-a-scanner", action="store_true", help="as many elements as a scanner writes")
    parser.add_argument("--url", default="", help="database; SQLite beside the spool when left out")
    options = parser.parse_args()
    if shutil.which("dcmsend") is None:
        sys.exit("dcmsend is not installed (Debian package dcmtk)")
    watch = Stopwatch()
    for step, (owner, name) in STEPS.items():
        setattr(owner, name, watch.timed(step, getattr(owner, name)))
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".reception-") as folder:
        root = Path(folder)
        sources = [root / f"series-{number}" for number in range(6)]
        for source in sources:
            source.mkdir()
            make_series(source, options.slices, as_a_scanner=options.as_a_scanner)
        scp = reception(root / "data", options.url or f"sqlite:///{root / 'node.db'}")
        send(scp.port, sources[0])  # imports and connections are made
        measure(scp.port, watch, sources[1:2], options.slices)
        measure(scp.port, watch, sources[2:], 4 * options.slices)
        scp.stop()


if __name__ == "__main__":
    main()

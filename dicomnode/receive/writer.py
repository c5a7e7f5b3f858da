"""One writer makes the images of all associations durable, as many at a time as have come while it was busy."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from dicomnode.receive.header_reader import HeaderReader
from dicomnode.receive.intake import Arrival, Intake, Outcome
from dicomnode.receive.together import Waiting, taken_together

log = logging.getLogger(__name__)

MOST_TOGETHER = 64
"""Images in one transaction."""
FOLDERS = 4
"""Threads that synchronise the folders of a group."""
PREPARING = 4
"""Threads that synchronise files, while their headers are read and the writer waits for the disk."""
IDLE_S = 2.0
"""After this long without an image no folder of the spool is kept open."""


@dataclass(slots=True)
class _Waiting:
    """An arrival that is being prepared, and who is told what becomes of it."""

    arrival: Arrival
    done: Callable[[Outcome], None]
    preparing: Future[None]


class GroupWriter:
    """Takes arrivals from any thread; of each its outcome is told, from the writer's own thread.

    Nobody waits for a group to fill: the next one is whatever came while the last one was written.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._queue: Waiting[_Waiting] = queue.SimpleQueue()
        self._headers = HeaderReader()
        self._pool = started_pool(PREPARING, "scp-prepare")
        self._folders = started_pool(FOLDERS, "scp-folders")
        self._thread = threading.Thread(target=self._run, name="scp-writer", daemon=True)

    def start(self) -> None:
        """Begin to write.

        Raises
        ------
        OSError : the process that reads headers cannot be started.
        """
        self._headers.start()
        self._thread.start()

    def stop(self) -> None:
        """Write what has been submitted, then end."""
        self._headers.hurry()
        self._queue.put(None)
        self._thread.join()
        self._headers.stop()
        self._pool.shutdown()
        self._folders.shutdown()

    def submit(self, arrival: Arrival, done: Callable[[Outcome], None]) -> None:
        """Have an arrival written. ``done`` is called once, and must not block or raise.

        Its bytes go to the disk at once, while its header is read, and while others before it are still written.
        """
        self._queue.put(_Waiting(arrival, done, self._pool.submit(self._prepare, arrival)))

    def _prepare(self, arrival: Arrival) -> None:
        self._headers.ask(arrival)
        # The writer asks again, and hears of the same fault.
        with contextlib.suppress(OSError, ValueError):
            arrival.incoming.sync()

    def _run(self) -> None:
        while True:
            try:
                first = self._queue.get(timeout=IDLE_S)
            except queue.Empty:
                self._intake.spool.let_go()
                continue
            if first is None or not self._write(first):
                self._intake.spool.let_go()
                return

    def _write(self, first: _Waiting) -> bool:
        """Write one group; False where that was the last."""
        group, goes_on = taken_together(self._queue, first, MOST_TOGETHER)
        for one in group:
            one.preparing.exception()  # waits, and raises nothing
        self._headers.collect([one.arrival for one in group])
        outcomes = self._outcomes(group)
        for one, outcome in zip(group, outcomes, strict=True):
            one.done(outcome)
        return goes_on

    def _outcomes(self, group: list[_Waiting]) -> list[Outcome]:
        try:
            return self._intake.take_all([one.arrival for one in group], self._folders.map)
        except Exception as fault:  # noqa: BLE001 (the thread that all wait for must not die of it)
            log.error("group not written", extra={"error": type(fault).__name__})
            return [fault] * len(group)


def started_pool(threads: int, name: str) -> ThreadPoolExecutor:
    """A pool whose threads run already: where a machine has no more of them, it fails the start, and no image.

    Raises
    ------
    RuntimeError : this process may start no more threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    all_run = threading.Barrier(threads)
    wait([pool.submit(all_run.wait) for _ in range(threads)])
    return pool

"""Reads headers, in a process of its own, which a receiver starts: ``python -m dicomnode.receive.header_program``.

It knows neither the network nor the database. It answers one question after another, within bounds of memory and of
processor time for each file (decision 021), and ends with whoever started it.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import resource
import select
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from pathlib import Path

from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.environment import said_by
from dicomnode.errors import Refusal
from dicomnode.receive.header_process import NotRead
from dicomnode.receive.reading import Reading, read, read_leading_alone


def main(asked: int, answers: int, memory_bytes: int, processor_s: float) -> None:
    """Answer until nobody asks any more.

    Parameters
    ----------
    asked, answers : descriptors of the two connections.
    memory_bytes : beyond what is taken at start.
    processor_s : for one file; a file that takes longer ends the process by SIGXCPU.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to a whole terminal, or a whole service
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(answers,), daemon=True).start()
    set_up_pydicom()
    warnings.simplefilter("ignore")  # pydicom quotes values in them
    told = _Told()
    limits = _Limits(memory_bytes, processor_s)
    questions, replies = Connection(asked, writable=False), Connection(answers)
    with suppress(EOFError, OSError):
        replies.send_bytes(pickle.dumps(None))
        while True:
            path, only_leading = pickle.loads(questions.recv_bytes())
            limits.begin()
            answer = _answer(Path(path), limits, only_leading=only_leading)
            replies.send_bytes(pickle.dumps((answer, told.taken()), pickle.HIGHEST_PROTOCOL))


class _Limits:
    """Of this process: memory once for all, processor time for each file anew."""

    def __init__(self, memory_bytes: int, processor_s: float) -> None:
        self._processor_s = processor_s
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        wanted = pages * resource.getpagesize() + memory_bytes
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        self.is_ours = soft == resource.RLIM_INFINITY or wanted < soft
        if self.is_ours:
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
        # What a peer sent about a patient is to lie in the spool alone.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def begin(self) -> None:
        """The next file may take its time from now on."""
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        seconds = math.ceil(time.process_time() + self._processor_s)
        resource.setrlimit(
            resource.RLIMIT_CPU, (seconds if hard == resource.RLIM_INFINITY else min(seconds, hard), hard)
        )


class _Told(QueueHandler):
    """What is logged here, for the log of whoever asked."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._records: list[logging.LogRecord] = []
        logging.basicConfig(level=logging.WARNING, handlers=[self], force=True)
        logging.getLogger("pydicom").disabled = True

    def enqueue(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._records.append(record)

    def taken(self) -> list[logging.LogRecord]:
        """All that was kept; forgotten here."""
        taken, self._records = self._records, []
        return taken


def _answer(path: Path, limits: _Limits, *, only_leading: bool) -> Reading | NotRead:
    try:
        return read_leading_alone(path, Refusal.UNREADABLE) if only_leading else _read(path, limits)
    except (OSError, MemoryError) as fault:
        return NotRead(said_by(fault))


def _read(path: Path, limits: _Limits) -> Reading:
    """Read within bounds.

    Raises
    ------
    OSError, MemoryError : the disk failed, or the memory of the machine.
    """
    try:
        return read(path)
    except MemoryError:
        if not limits.is_ours:
            raise
    return read_leading_alone(path, Refusal.HEADER_TOO_LARGE)


def _end_with_parent(descriptor: int) -> None:
    """Whoever asked is gone when the other end is closed, also while a file is being read."""
    hung_up = select.poll()
    hung_up.register(descriptor, 0)
    hung_up.poll()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))

"""A receiver's handle on the process that reads headers for it: start, ask, watch the clock, kill."""

from __future__ import annotations

import logging
import os
import pickle
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from dicomnode.errors import EnvironmentFault, RunTimedOut, WorkerCrashed
from dicomnode.receive.reading import Reading

PROGRAM = "dicomnode.receive.header_program"
MEMORY_BYTES = 1 << 30
"""Of a header that is within the bounds of :mod:`dicomnode.dicom.bounded` pydicom makes some ten megabytes."""
PROCESSOR_S = 15.0
"""For one file; a rejection note of ten thousand images takes some three."""
ANSWER_S = 30.0
"""For the next answer, on a machine that is busy. The files lie in the page cache: nobody waits for the disk."""
START_S = 30.0
STOP_S = 2.0
"""For an answer once the node stops."""
POLL_S = 0.1
MOST_OF_A_QUESTION = select.PIPE_BUF - 4
"""Bytes that a pipe takes whole or not at all, with their length in front."""
END_S = 1.0
"""A process that waits for a disk that is away does not even die."""


@dataclass(frozen=True, slots=True)
class NotRead:
    """The disk or the memory failed, which says nothing of the file.

    Attributes
    ----------
    said : the reason, without paths or values.
    """

    said: str


class HeaderProcess:
    """Answers in the order in which it was asked. For one thread at a time, but :meth:`receive` beside :meth:`send`.

    Parameters
    ----------
    is_stopping : whether the node is to stop; then an answer is not waited for as long.
    memory_bytes, processor_s : for one file, as :mod:`~dicomnode.receive.header_program` has them.
    answer_s : after so long without an answer it hangs.
    """

    def __init__(
        self,
        is_stopping: Callable[[], bool],
        *,
        memory_bytes: int = MEMORY_BYTES,
        processor_s: float = PROCESSOR_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._is_stopping = is_stopping
        self._limits = (str(memory_bytes), str(processor_s))
        self._answer_s = answer_s
        self._process: subprocess.Popen[bytes] | None = None
        self._asking: Connection | None = None
        self._answering: Connection | None = None
        self._is_ready = False

    @property
    def pid(self) -> int | None:
        """Process id while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def launch(self) -> None:
        """Begin to start it; whoever asks for the first answer waits until it is ready.

        Raises
        ------
        OSError : this machine or this user may have no more processes or descriptors.
        """
        self.end()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # An answer that was begun and is not finished ends the waiting, too.
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", max(1, int(self._answer_s)), 0))
            asked, asking = os.pipe()
            try:
                self._process = self._started(asked, theirs.fileno())
            except OSError:
                os.close(asking)
                raise
            finally:
                os.close(asked)
            # A question is never waited with: one that finds no room is asked again.
            os.set_blocking(asking, False)
            self._asking, self._answering = Connection(asking), Connection(ours.detach())

    def _started(self, asked: int, answers: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", PROGRAM, str(asked), str(answers), *self._limits],
            pass_fds=[asked, answers],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # numpy, which pydicom loads, starts a thread for each core.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def send(self, path: Path, *, only_leading: bool = False) -> bool:
        """Ask for the header of a file, without waiting; False where it was not asked.

        Parameters
        ----------
        only_leading : as far as it stands in front of what may end a process.

        Raises
        ------
        EnvironmentFault : the path of the spool is too long.
        """
        question = pickle.dumps((str(path), only_leading), pickle.HIGHEST_PROTOCOL)
        if len(question) > MOST_OF_A_QUESTION:
            raise EnvironmentFault("the path of the spool is too long")
        if self._asking is None:
            return False
        try:
            self._asking.send_bytes(question)
        except OSError:
            return False
        return True

    def receive(self) -> Reading | NotRead:
        """The next answer. What the process had to log is logged here.

        Raises
        ------
        EnvironmentFault : it does not start.
        WorkerCrashed : it died of what it was asked, or while it was.
        RunTimedOut : it gave no answer in time.
        """
        self._wait_until_ready()
        try:
            answer, told = self._next(self._answer_s, STOP_S)
        except (EOFError, ConnectionError) as fault:
            raise WorkerCrashed(f"the process that reads headers died ({self._how_it_ended()})") from fault
        for record in told:
            logging.getLogger(record.name).handle(record)
        return answer

    def end(self) -> None:
        """End the process at once, whatever it does: it keeps nothing."""
        for connection in (self._asking, self._answering):
            if connection is not None:
                connection.close()
        self._asking = self._answering = None
        self._is_ready = False
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
            self._process = None

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        try:
            self._next(START_S, START_S)
        except (EOFError, OSError, RunTimedOut) as fault:
            raise EnvironmentFault("the process that reads headers does not start") from fault
        self._is_ready = True

    def _next(self, within_s: float, within_at_stop_s: float) -> tuple[Reading | NotRead, list[logging.LogRecord]]:
        if self._answering is None:
            raise EOFError
        came, began, stopped = select.poll(), time.monotonic(), 0.0
        came.register(self._answering, select.POLLIN)
        while not came.poll(1e3 * POLL_S):
            now = time.monotonic()
            stopped = stopped or (now if self._is_stopping() else 0.0)
            if now - began > within_s or (stopped and now - stopped > within_at_stop_s):
                raise RunTimedOut("the process that reads headers gave no answer in time")
        try:
            answer: tuple[Reading | NotRead, list[logging.LogRecord]] = pickle.loads(self._answering.recv_bytes())
        except BlockingIOError as fault:
            raise RunTimedOut("the process that reads headers did not finish its answer") from fault
        return answer

    def _how_it_ended(self) -> str:
        if self._process is None:
            return "not started"
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        return f"exit code {self._process.returncode}"

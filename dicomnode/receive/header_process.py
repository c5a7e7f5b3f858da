"""A receiver's handle on the process that reads headers for it: start, ask, watch the clock, kill."""

from __future__ import annotations

import logging
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from dicomnode.errors import EnvironmentFault, RunTimedOut, WorkerCrashed
from dicomnode.receive.describing import Described, ToDescribe

PROGRAM = "dicomnode.receive.header_program"
MEMORY_BYTES = 1 << 30
"""Of a header that is within the bounds of :mod:`dicomnode.dicom.bounded` pydicom makes some ten megabytes."""
PROCESSOR_S = 10.0
"""For one file; the worst within those bounds takes a second."""
ANSWER_S = 30.0
"""For some files, on a machine that is busy. They lie in the page cache: nobody waits for the disk."""
START_S = 30.0
STOP_S = 2.0
"""For an answer once the node stops."""
POLL_S = 0.1
END_S = 1.0
"""A process that waits for a disk that is away does not even die."""


class HeaderProcess:
    """For one thread.

    Parameters
    ----------
    is_stopping : whether the node is to stop; then an answer is not waited for as long.
    memory_bytes, processor_s : for one file, as :mod:`~dicomnode.receive.header_program` has them.
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
        self._connection: Connection | None = None
        self._is_ready = False

    @property
    def pid(self) -> int | None:
        """Process id while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def launch(self) -> None:
        """Begin to start it; the first question waits until it is ready.

        Raises
        ------
        OSError : this machine or this user may have no more processes or descriptors.
        """
        self.end()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # An answer that is begun and not finished ends the waiting, too.
            longest = struct.pack("ll", int(self._answer_s), 0)
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                ours.setsockopt(socket.SOL_SOCKET, option, longest)
            self._process = subprocess.Popen(
                [sys.executable, "-m", PROGRAM, str(theirs.fileno()), *self._limits],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # numpy, which pydicom loads, starts a thread for each core.
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            self._connection = Connection(ours.detach())
        self._is_ready = False

    def ask(self, files: Sequence[ToDescribe]) -> list[Described]:
        """The records of some files, in their order; what the process had to log is logged here.

        Raises
        ------
        EnvironmentFault : it cannot be started now.
        WorkerCrashed : it died of what it was asked, or while it was.
        RunTimedOut : it gave no answer; it was killed.
        """
        connection = self._ready()
        try:
            connection.send(files)
            described, told = self._answer(connection, self._answer_s, STOP_S)
        except (EOFError, OSError) as fault:
            raise self._ended(fault) from fault
        except RunTimedOut:
            self.end()
            raise
        for record in told:
            logging.getLogger(record.name).handle(record)
        return list(described)

    def end(self) -> None:
        """End the process at once, whatever it does: it keeps nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
            self._process = None

    def _ready(self) -> Connection:
        """The connection to a process that answers; to a fresh one where none is left.

        Raises
        ------
        EnvironmentFault : it does not start.
        """
        try:
            if self.pid is None:
                self.launch()
            assert self._connection is not None
            if not self._is_ready:
                self._answer(self._connection, START_S, START_S)
                self._is_ready = True
        except (EOFError, OSError, RunTimedOut) as fault:
            self.end()
            raise EnvironmentFault("the process that reads headers does not start") from fault
        return self._connection

    def _answer(
        self, connection: Connection, within_s: float, within_at_stop_s: float
    ) -> tuple[list[Described], list[logging.LogRecord]]:
        began, stopped = time.monotonic(), 0.0
        while not connection.poll(POLL_S):
            now = time.monotonic()
            stopped = stopped or (now if self._is_stopping() else 0.0)
            if now - began > within_s or (stopped and now - stopped > within_at_stop_s):
                raise RunTimedOut("the process that reads headers gave no answer in time")
        answer: tuple[list[Described], list[logging.LogRecord]] = connection.recv()
        return answer

    def _ended(self, fault: Exception) -> WorkerCrashed | RunTimedOut:
        """What ended a question that got no answer."""
        process = self._process
        if process is not None and not isinstance(fault, BlockingIOError):
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
        self.end()
        if process is None or isinstance(fault, BlockingIOError):
            return RunTimedOut("the process that reads headers did not finish its answer")
        code = process.returncode or 0
        return WorkerCrashed(f"the process that reads headers died (exit code {code})", max(0, -code))

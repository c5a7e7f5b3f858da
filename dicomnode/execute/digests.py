"""Digests of decoded pixels for whoever must not decode: asked of a process that lives while it is needed."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dicomnode.assemble.copies import UNREADABLE_PIXELS
from dicomnode.errors import EnvironmentFault, InferenceError, RunTimedOut, WorkerCrashed
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.limits import refusal_of_death
from dicomnode.execute.tasks import DigestReply, DigestTask, Reply

log = logging.getLogger(__name__)

PROGRAM = "dicomnode.execute.digest_worker"
TIMEOUT_S = 120.0
"""For one file; its processor time ends long before."""
IDLE_S = 60.0
"""Copies of an image come together, once in a while."""
DEATHS_MAX = 5
"""Of the process, at one file, since the node started: killed for want of memory, or because it took too long."""


class PixelDigests:
    """Answers what the digest of a file's pixels is. For one thread.

    Parameters
    ----------
    start_timeout_s : for the process to be ready.
    is_stopping : whether the node is to stop; then nothing is waited for.
    """

    def __init__(self, *, start_timeout_s: float, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping = is_stopping
        self._child = ChildProcess(PROGRAM, None, start_timeout_s=start_timeout_s)
        self._used_at = 0.0
        self._deaths: Counter[Path] = Counter()

    def wait_for_start(self, seconds: float) -> None:
        """From now on the process has so long to be ready."""
        self._child.start_timeout_s = seconds

    def __call__(self, path: Path) -> str:
        """Digest of pixels and geometry, or what stands for pixels that cannot be decoded.

        Raises
        ------
        EnvironmentFault : it is not known now: the process cannot start, was killed, or cannot reach the file, or the
            node stops.
        """
        try:
            reply = self._ask(path)
        except (WorkerCrashed, RunTimedOut) as fault:
            if not self._is_of_the_file(path, fault):
                raise EnvironmentFault(f"pixels could not be compared now: {fault}") from fault
            log.warning("pixels not compared", extra={"reason": str(fault)})
            return UNREADABLE_PIXELS
        except InferenceError as fault:
            raise EnvironmentFault(f"pixels could not be compared now: {fault}") from fault
        finally:
            self._used_at = time.monotonic()
        if not isinstance(reply, DigestReply):
            raise EnvironmentFault("pixels could not be compared now")
        return reply.digest

    def _is_of_the_file(self, path: Path, fault: WorkerCrashed | RunTimedOut) -> bool:
        """Whether the process would end at this file for ever: a decoder crashed, or it happened again and again."""
        self._deaths[path] += 1
        by_decoder = isinstance(fault, WorkerCrashed) and refusal_of_death(fault.by_signal) is not None
        return by_decoder or self._deaths[path] >= DEATHS_MAX

    def _ask(self, path: Path) -> Reply:
        if not self._child.is_running:
            self._start()
        return self._child.ask(DigestTask(path), timeout_s=TIMEOUT_S, tick=self._tick)

    def _start(self) -> None:
        try:
            self._child.start(self._tick)
        except (WorkerCrashed, RunTimedOut) as fault:
            # No file was asked for yet, so none is at fault.
            raise InferenceError(str(fault)) from fault

    def _tick(self) -> None:
        if self._is_stopping():
            raise InferenceError("the node is stopping")

    def rest(self) -> None:
        """End the process where nothing was asked for a while."""
        if self._child.is_running and time.monotonic() - self._used_at > IDLE_S:
            self.close()

    def close(self) -> None:
        """End the process."""
        self._child.kill()

"""The supervisor's handle on one worker process: start, ask, watch the clock, kill. Imports no torch."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from dicomnode.errors import InferenceError, LeaseLost, RunTimedOut, WorkerCrashed
from dicomnode.execute.tasks import Failure, Ready, Reply, Task

log = logging.getLogger(__name__)

POLL_S = 0.1
LOST_GRACE_S = 10.0


class Settings(NamedTuple):
    """What is handed to the worker; turned into its own settings there, so that this process needs no torch."""

    device: str
    models: tuple[str, ...]
    zoo_paths: tuple[Path, ...]
    zoo_digests: dict[str, str]
    cpu_threads: int


class WorkerProcess:
    """One spawned worker. Spawned, not forked: CUDA and threads do not survive a fork."""

    def __init__(self, settings: Settings, *, start_timeout_s: float) -> None:
        self.settings = settings
        self.start_timeout_s = start_timeout_s
        self._process: Any = None
        self._connection: Connection | None = None
        self.models: dict[str, str] = {}

    @property
    def pid(self) -> int | None:
        """Process id while the worker lives."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def start(self, tick: Callable[[], None] = lambda: None) -> Ready:
        """Start the process and wait until its models are loaded.

        Raises
        ------
        InferenceError : a bundle cannot be loaded.
        WorkerCrashed : it died while loading.
        RunTimedOut : loading took longer than ``start_timeout_s``.
        """
        self.kill()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_entry, args=(theirs, self.settings), daemon=True, name="dicomnode-worker"
        )
        self._process.start()
        theirs.close()
        self._connection = ours
        reply, _ = self._wait(self.start_timeout_s, tick, "the models did not load")
        if not isinstance(reply, Ready):
            self.kill()
            raise InferenceError(f"the worker did not start: {reply.message if isinstance(reply, Failure) else reply}")
        self.models = reply.models
        log.info("worker ready", extra={"device": reply.device, "pid": self.pid, "models": sorted(reply.models)})
        return reply

    def ask(self, task: Task, *, timeout_s: float, tick: Callable[[], None]) -> Reply:
        """Hand over a task and wait for its answer.

        Parameters
        ----------
        timeout_s : after this long the worker is killed.
        tick : called about every 0.1 s while waiting. When it raises LeaseLost the answer is thrown away; any other
            error kills the worker and is passed on.

        Raises
        ------
        LeaseLost : from ``tick``, once the worker is free again or killed.
        WorkerCrashed : the process died, or was not running.
        RunTimedOut : it took too long.
        """
        if self._connection is None:
            raise WorkerCrashed("the worker is not running")
        try:
            self._connection.send(task)
        except OSError as fault:
            self.kill()
            raise WorkerCrashed("the worker died before it took the task") from fault
        reply, lost = self._wait(timeout_s, tick, f"no answer within {timeout_s:g} s")
        if lost is not None:
            raise lost
        return reply

    def _wait(self, timeout_s: float, tick: Callable[[], None], too_late: str) -> tuple[Reply, LeaseLost | None]:
        try:
            return self._wait_or_raise(timeout_s, tick, too_late)
        except BaseException:
            self.kill()
            raise

    def _wait_or_raise(
        self, timeout_s: float, tick: Callable[[], None], too_late: str
    ) -> tuple[Reply, LeaseLost | None]:
        deadline = time.monotonic() + timeout_s
        lost: LeaseLost | None = None
        while not self._answered():
            if time.monotonic() > deadline:
                raise lost or RunTimedOut(too_late)
            if lost is None:
                lost = _lost_lease(tick)
                # A warm worker is worth a few seconds: the answer is thrown away, the process is kept.
                deadline = min(deadline, time.monotonic() + LOST_GRACE_S) if lost else deadline
        return self._receive(), lost

    def _answered(self) -> bool:
        assert self._connection is not None
        return self._connection.poll(POLL_S)

    def _receive(self) -> Reply:
        assert self._connection is not None
        try:
            reply: Reply = self._connection.recv()
        except (EOFError, OSError) as fault:
            self._process.join(1)
            raise WorkerCrashed(f"the worker died (exit code {self._process.exitcode})") from fault
        return reply

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.join(10)
            self._process = None


def _lost_lease(tick: Callable[[], None]) -> LeaseLost | None:
    try:
        tick()
    except LeaseLost as fault:
        return fault
    return None


def _entry(connection: Connection, settings: Settings) -> None:
    worker = importlib.import_module("dicomnode.execute.worker")
    worker.main(connection, worker.WorkerSettings(*settings))

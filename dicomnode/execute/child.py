"""The supervisor's handle on one child process: start, ask, watch the clock, kill. Imports nothing that it needs."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from multiprocessing.connection import Connection
from typing import Any

from dicomnode.config.operations import Operations
from dicomnode.environment import Fault
from dicomnode.errors import InferenceError, LeaseLost, RunTimedOut, WorkerCrashed
from dicomnode.execute.lean import lean_imports
from dicomnode.execute.tasks import Failure, Ready, Reply, Task
from dicomnode.logs import configure_logging, logging_in_use

log = logging.getLogger(__name__)

NOT_READY = "the worker was not ready within {:g} s"
LATE = "no answer within {:g} s; [execution] run_timeout_s may allow more"

POLL_S = 0.1
LOST_GRACE_S = 10.0

Tick = Callable[[], None]


def nothing() -> None:
    """A tick that does nothing, for who holds no lease."""


class ChildProcess:
    """One spawned process that answers tasks. Spawned, not forked: CUDA and threads do not survive a fork.

    Parameters
    ----------
    program : module with ``main(connection, settings)``, imported by the child alone.
    settings : handed to it; must be picklable.
    lean : its imports go without what MONAI loads in vain; another library may need that.
    """

    def __init__(self, program: str, settings: Any, *, start_timeout_s: float, lean: bool = True) -> None:
        self.program, self.settings, self._lean = program, settings, lean
        self.start_timeout_s = start_timeout_s
        self._process: Any = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Process id while the child lives."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    @property
    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self.pid is not None

    def launch(self) -> None:
        """Begin to start; :meth:`wait_until_ready` must follow before anything is asked."""
        self.kill()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        name = f"dicomnode-{self.program.rpartition('.')[2]}"
        arguments = (self.program, theirs, self.settings, logging_in_use(), self._lean)
        self._process = context.Process(target=_entry, args=arguments, daemon=True, name=name)
        self._process.start()
        theirs.close()
        self._connection = ours

    def wait_until_ready(self, tick: Tick = nothing) -> Ready:
        """Wait until it has loaded what it needs.

        Raises
        ------
        InferenceError : it cannot, such as a model worker with a damaged bundle.
        WorkerCrashed : it died while loading, or was not launched.
        RunTimedOut : loading took longer than ``start_timeout_s``.
        """
        if self._connection is None:
            raise WorkerCrashed("the worker was not launched")
        reply, _ = self._wait(self.start_timeout_s, tick, NOT_READY.format(self.start_timeout_s))
        if not isinstance(reply, Ready):
            self.kill()
            raise InferenceError(f"the worker did not start: {reply.message if isinstance(reply, Failure) else reply}")
        log.info("worker ready", extra={"program": self.program, "device": reply.device, "pid": self.pid})
        return reply

    def start(self, tick: Tick = nothing) -> Ready:
        """Launch it and wait until it is ready; raises as :meth:`wait_until_ready`."""
        self.launch()
        return self.wait_until_ready(tick)

    def ask(self, task: Task, *, timeout_s: float, tick: Tick = nothing) -> Reply:
        """Hand over a task and wait for its answer.

        Parameters
        ----------
        timeout_s : after this long the child is killed.
        tick : called about every 0.1 s while waiting. When it raises LeaseLost the answer is thrown away; any other
            error kills the child and is passed on.

        Raises
        ------
        LeaseLost : from ``tick``, once the child is free again or killed.
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
        reply, lost = self._wait(timeout_s, tick, LATE.format(timeout_s))
        if isinstance(reply, Failure) and reply.fault is Fault.MEMORY:
            self.kill()  # what it holds or has leaked goes with it; the next task is given to a fresh process
        if lost is not None:
            raise lost
        return reply

    def tell(self, order: object) -> None:
        """Hand over what is not answered; nothing where the child has died."""
        with suppress(OSError):
            if self._connection is not None:
                self._connection.send(order)

    def join(self, timeout_s: float) -> None:
        """Wait until the child has ended by itself, for so long at most."""
        if self._process is not None:
            self._process.join(timeout_s)

    def _wait(self, timeout_s: float, tick: Tick, too_late: str) -> tuple[Reply, LeaseLost | None]:
        try:
            return self._wait_or_raise(timeout_s, tick, too_late)
        except BaseException:
            self.kill()
            raise

    def _wait_or_raise(self, timeout_s: float, tick: Tick, too_late: str) -> tuple[Reply, LeaseLost | None]:
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
            code = self._process.exitcode
            raise WorkerCrashed(f"the worker died (exit code {code})", max(0, -(code or 0))) from fault
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


def _lost_lease(tick: Tick) -> LeaseLost | None:
    try:
        tick()
    except LeaseLost as fault:
        return fault
    return None


def _entry(program: str, connection: Connection, settings: Any, logs: Operations, lean: bool) -> None:
    configure_logging(logs)
    # Before the imports: a node that is killed and started again would pay for those of its orphans, seconds of a core.
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        with lean_imports() if lean else nullcontext():
            module = importlib.import_module(program)
        module.main(connection, settings)
    except Exception:  # noqa: BLE001 (the boundary of the process)
        # multiprocessing would print the traceback, whose message may quote a value.
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)

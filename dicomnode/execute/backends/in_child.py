"""What backends share whose models are reached through one child process of the node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dicomnode.errors import WorkerCrashed
from dicomnode.execute.child import ChildProcess, Tick, nothing
from dicomnode.execute.tasks import Failure, InferReply, InferTask, Ready


class ChildBackend:
    """One spawned process that answers; see :class:`~dicomnode.execute.backends.contract.Backend`.

    Parameters
    ----------
    program, settings, lean : see :class:`~dicomnode.execute.child.ChildProcess`.
    """

    def __init__(self, program: str, settings: Any, *, start_timeout_s: float, lean: bool = True) -> None:
        self.models: Mapping[str, str] = {}
        self._child = ChildProcess(program, settings, start_timeout_s=start_timeout_s, lean=lean)

    @property
    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """Of the process while it lives."""
        return self._child.pid

    def launch(self) -> None:
        """Begin to start.

        Raises
        ------
        InferenceError : what it needs is not installed.
        """
        self._child.launch()

    def wait_until_ready(self, tick: Tick = nothing) -> Ready:
        """Wait until the models are loaded.

        Raises
        ------
        InferenceError : a bundle cannot be loaded, the process died, or loading takes too long.
        """
        ready = self._child.wait_until_ready(tick)
        self.models = ready.models
        return ready

    def start(self) -> Ready:
        """Launch it and wait; raises as both do."""
        self.launch()
        return self.wait_until_ready()

    def infer(self, task: InferTask, *, timeout_s: float, tick: Tick = nothing) -> InferReply | Failure:
        """Run one model.

        Raises
        ------
        LeaseLost : from ``tick``.
        WorkerCrashed, RunTimedOut : the process is gone.
        """
        reply = self._child.ask(task, timeout_s=timeout_s, tick=tick)
        if not isinstance(reply, InferReply | Failure):
            raise WorkerCrashed(f"the worker answered with {type(reply).__name__}")
        return reply

    def kill(self) -> None:
        """End the process at once."""
        self._child.kill()

"""The default backend: one worker process per device on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dicomnode.errors import WorkerCrashed
from dicomnode.execute.child import ChildProcess, Tick, nothing
from dicomnode.execute.tasks import Failure, InferReply, InferTask, Ready

PROGRAM = "dicomnode.execute.model_worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWorkerSettings:
    """What the process needs to start.

    Attributes
    ----------
    device : ``auto``, ``cpu`` or ``cuda:N``.
    zoo_paths, zoo_digests, zoo_thresholds : further bundles, pinned digests by name, thresholds of scores by name.
    cpu_threads : 0: all cores.
    """

    device: str
    models: tuple[str, ...]
    zoo_paths: tuple[Path, ...]
    zoo_digests: Mapping[str, str]
    zoo_thresholds: Mapping[str, float] = field(default_factory=dict)
    cpu_threads: int = 0


class LocalBackend:
    """One spawned process with its models; see :class:`~dicomnode.execute.backends.contract.Backend`."""

    def __init__(self, settings: ModelWorkerSettings, *, start_timeout_s: float) -> None:
        self.models: Mapping[str, str] = {}
        self._child = ChildProcess(PROGRAM, settings, start_timeout_s=start_timeout_s)

    @property
    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """Of the process while it lives."""
        return self._child.pid

    def launch(self) -> None:
        """Begin to start."""
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
        """Launch it and wait; raises as :meth:`wait_until_ready`."""
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

"""The backend of a Ray cluster: one actor with the models, reached through a process of the node's own.

A process that is connected to Ray ends when the cluster's head is gone for a minute: it must not be the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from dicomnode.errors import InferenceError, WorkerCrashed
from dicomnode.execute.backends.in_child import ChildBackend
from dicomnode.execute.backends.local import ModelWorkerSettings
from dicomnode.execute.child import Tick, nothing
from dicomnode.execute.tasks import Failure, InferReply, InferTask

PROGRAM = "dicomnode.execute.ray.driver"
NOT_INSTALLED = "execution.backend = \"ray\" needs Ray, which is not installed: pip install 'dicomnode[ray]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RaySettings:
    """What the process needs to have an actor in the cluster.

    Attributes
    ----------
    address : ``ray://HOST:10001`` of a cluster that this machine does not belong to, or ``HOST:6379`` or ``auto`` of
        one that it belongs to.
    gpus, cpus : that the actor takes of its Ray node.
    models : as for a process of this machine; paths are those of the Ray node, too.
    start_timeout_s : until the models must be loaded, which includes that a place for the actor becomes free.
    """

    address: str
    gpus: float
    cpus: float
    models: ModelWorkerSettings
    start_timeout_s: float


class RayBackend(ChildBackend):
    """The node's end of one actor; see :class:`~dicomnode.execute.backends.contract.Backend`."""

    def __init__(self, settings: RaySettings, *, start_timeout_s: float) -> None:
        super().__init__(PROGRAM, settings, start_timeout_s=start_timeout_s, lean=False)

    def launch(self) -> None:
        """Begin to start.

        Raises
        ------
        InferenceError : Ray is not installed.
        """
        require_ray()
        super().launch()

    def infer(self, task: InferTask, *, timeout_s: float, tick: Tick = nothing) -> InferReply | Failure:
        """Run one model in the cluster.

        Raises
        ------
        LeaseLost : from ``tick``.
        WorkerCrashed, RunTimedOut : the actor is gone, by itself or with its Ray node; the next start makes another.
        """
        reply = super().infer(task, timeout_s=timeout_s, tick=tick)
        if isinstance(reply, Failure) and reply.stage == WorkerCrashed.__name__:
            self.kill()
            raise WorkerCrashed(reply.message)
        return reply


def require_ray() -> None:
    """Say how to install it.

    Raises
    ------
    InferenceError : Ray is not installed.
    """
    if find_spec("ray") is None:
        raise InferenceError(NOT_INSTALLED)

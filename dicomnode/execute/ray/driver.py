"""The node's end of the cluster: a process with one actor, which dies with it. Tasks go in and out as for any child."""

from __future__ import annotations

import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectStoreFullError, OutOfMemoryError, RayError

from dicomnode.errors import BundleError, EnvironmentFault, InferenceError, WorkerCrashed
from dicomnode.execute.backends.local import ModelWorkerSettings
from dicomnode.execute.backends.ray_cluster import RaySettings
from dicomnode.execute.findings_file import FINDINGS, write_findings
from dicomnode.execute.handed import stored
from dicomnode.execute.program import serve
from dicomnode.execute.ray.actor import Given, ModelActor
from dicomnode.execute.ray.connection import connect, nodes, require_same_version, told
from dicomnode.execute.tasks import Failure, InferReply, InferTask, Ready, Task
from dicomnode.execute.volume_file import VOLUME
from dicomnode.zoo.registry import Registry

PATIENCE = 0.9
"""Of the time to start: the supervisor, which waits for all of it, is told more than that it was too short."""


def main(connection: Connection, settings: RaySettings) -> None:
    """Entry point of the spawned process."""
    serve(connection, lambda: Driver(settings))


class Driver:
    """One actor, and the volume that was sent last.

    Raises
    ------
    EnvironmentFault : the cluster cannot be used; says what to do.
    BundleError : a model there is another than here.
    InferenceError : the models cannot be loaded there.
    """

    def __init__(self, settings: RaySettings) -> None:
        deadline = time.monotonic() + PATIENCE * settings.start_timeout_s
        connect(settings.address)
        self._actor = _new_actor(settings)
        require_same_version(self._got(self._actor.version.remote(), settings, deadline))
        answer = self._got(self._actor.load.remote(settings.models), settings, deadline)
        if isinstance(answer, Failure):
            raise InferenceError(answer.message)
        self._ready: Ready = answer
        _require_same_models(settings.models, answer)
        self._volume: tuple[Path, Any] | None = None

    def _got(self, asked: Any, settings: RaySettings, deadline: float) -> Any:
        try:
            return ray.get(asked, timeout=max(0.0, deadline - time.monotonic()))
        except GetTimeoutError as fault:
            raise EnvironmentFault(_no_place(settings)) from fault
        except RayError as fault:
            says = "the actor could not be started there: dicomnode must be installed on each Ray node"
            raise EnvironmentFault(f"{says} ({type(fault).__name__})") from fault

    def ready(self) -> Ready:
        """The device with its machine, and the digest of each model."""
        return self._ready

    def do(self, task: Task) -> InferReply | Failure:
        """Run one model in the cluster and write its findings here.

        Raises
        ------
        InferenceError : an earlier finding, or the volume, cannot be read.
        WorkerCrashed : the actor is gone.
        MemoryError : the Ray node has too little memory.
        OSError : the disk is full or gone.
        """
        assert isinstance(task, InferTask)
        volume = None if task.volume is None else self._sent(task.volume)
        earlier = [ray.put(stored(path, FINDINGS)) for path in task.earlier]
        answer = self._inferred(task, volume, earlier)
        if isinstance(answer, Failure):
            return answer
        reply, findings = answer
        write_findings(task.findings, findings.data)
        return reply

    def _sent(self, path: Path) -> Any:
        """The volume in the object store; the models of a job share it."""
        if self._volume is None or self._volume[0] != path:
            self._volume = None  # the store forgets the one before
            self._volume = path, ray.put(stored(path, VOLUME))
        return self._volume[1]

    def _inferred(self, task: InferTask, volume: Any, earlier: list[Any]) -> Given | Failure:
        try:
            answer: Given | Failure = ray.get(self._actor.infer.remote(task, volume, *earlier))
            return answer
        except (OutOfMemoryError, ObjectStoreFullError) as fault:
            raise MemoryError from fault
        except (RayError, ConnectionError) as fault:
            raise WorkerCrashed(f"the actor on the Ray cluster is gone: {reason_of(fault)}") from fault


def _new_actor(settings: RaySettings) -> Any:
    # No restarts: the node makes another where this one died, and knows that it did.
    options: Mapping[str, Any] = {"num_gpus": settings.gpus, "num_cpus": settings.cpus, "max_restarts": 0}
    return ray.remote(ModelActor).options(**options).remote()


def _no_place(settings: RaySettings) -> str:
    needs = f"{settings.gpus:g} GPU and {settings.cpus:g} CPU"
    says = f"no actor with {needs} was ready within {PATIENCE * settings.start_timeout_s:.0f} s"
    return f"{says}; alive: {told(nodes())}; see [execution.ray] gpus, cpus and workers, and start_timeout_s"


def _require_same_models(settings: ModelWorkerSettings, there: Ready) -> None:
    """What runs there must be what lies here: its digest is part of the identity of every result.

    Raises
    ------
    BundleError : a model differs.
    """
    here = Registry(settings.zoo_paths, settings.zoo_digests, settings.zoo_thresholds, settings.zoo_horizons_h)
    for name in settings.models:
        ours, theirs = here.get(name).digest, there.models.get(name, "")
        if ours != theirs:
            says = f"model {name} is {theirs[:19]}... {there.device}, but {ours[:19]}... on this node"
            raise BundleError(f"{says}: both need the same bundles, from one image or a shared folder")


def reason_of(fault: Exception) -> str:
    """Why an actor is gone, in a line; what Ray says of it is long."""
    text = str(fault)
    if "node" in text.lower() and ("died" in text.lower() or "dead" in text.lower()):
        return "its Ray node died"
    return type(fault).__name__

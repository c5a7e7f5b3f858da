"""What a backend does: run a model on inputs. Reading images, encoding and notes stay with the node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dicomnode.execute.child import Tick
from dicomnode.execute.tasks import Failure, InferReply, InferTask, Ready


class Backend(Protocol):
    """Models that are kept warm somewhere.

    Attributes
    ----------
    models : digest of each by name; empty while it is not running.
    """

    models: Mapping[str, str]

    @property
    def is_running(self) -> bool:
        """Whether it can be asked."""
        ...

    def launch(self) -> None:
        """Begin to start."""
        ...

    def wait_until_ready(self, tick: Tick = ...) -> Ready:
        """Wait until the models are loaded.

        Raises
        ------
        InferenceError : a bundle cannot be loaded, or loading takes too long.
        """
        ...

    def infer(self, task: InferTask, *, timeout_s: float, tick: Tick = ...) -> InferReply | Failure:
        """Run one model.

        Parameters
        ----------
        tick : called about every 0.1 s while waiting; LeaseLost from it is passed on, the answer thrown away.

        Raises
        ------
        LeaseLost : from ``tick``.
        WorkerCrashed, RunTimedOut : what ran the model is gone; it must be started again.
        """
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

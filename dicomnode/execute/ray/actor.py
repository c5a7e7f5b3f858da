"""What lives on a Ray node: the models of a worker, warm; bytes come by Ray's object store, findings go back by it.

Nothing is written to that machine's disk. Ray imports this module there: it loads no torch before it is told to.
"""

from __future__ import annotations

import importlib
import io
import socket
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

import dicomnode
from dicomnode.execute.backends.local import ModelWorkerSettings
from dicomnode.execute.findings_file import findings_bytes
from dicomnode.execute.handed import Bytes
from dicomnode.execute.lean import lean_imports
from dicomnode.execute.program import answered, timed
from dicomnode.execute.tasks import Failure, InferReply, InferTask, Ready

WORKER = "dicomnode.execute.model_worker"

Given = tuple[InferReply, Bytes]
"""What came of a run: the reply, and the bytes of the file of findings."""


class ModelActor:
    """Has the models of one worker. It is asked for one thing at a time."""

    def __init__(self) -> None:
        self._worker: Any = None

    def version(self) -> str:
        """Of this package, as it is installed here."""
        return dicomnode.__version__

    def load(self, settings: ModelWorkerSettings) -> Ready | Failure:
        """Load the models; the device is named with its machine."""
        # They quote the values that they are about, and Ray keeps a log of what is printed.
        warnings.simplefilter("ignore")
        return answered(lambda: self._load(settings), "load")

    def _load(self, settings: ModelWorkerSettings) -> Ready:
        with lean_imports():
            module = importlib.import_module(WORKER)
        self._worker = module.ModelWorker(settings)
        ready: Ready = self._worker.ready()
        return Ready(self._named(ready.device), ready.models)

    def infer(self, task: InferTask, volume: Bytes | None, *earlier: Bytes) -> Given | Failure:
        """Run one model.

        Parameters
        ----------
        task : its paths are those of the node: names, nothing more.
        volume, earlier : bytes of the files that the task names.
        """
        return answered(lambda: self._infer(task, volume, earlier), type(task).__name__)

    def _infer(self, task: InferTask, volume: Bytes | None, earlier: tuple[Bytes, ...]) -> Given:
        image = None if volume is None else io.BytesIO(volume.data)
        findings, reply = self._worker.run(task, image, [io.BytesIO(one.data) for one in earlier])
        with timed(reply.seconds, "save"):
            given = np.frombuffer(findings_bytes(findings), dtype=np.uint8)
        return replace(reply, device=self._named(reply.device)), given

    def _named(self, device: str) -> str:
        return f"{device} on {socket.gethostname()}"

"""The process of one device: models kept warm, inputs in, findings out. It knows no DICOM.

A CUDA fault, an out-of-memory or a hang costs one run, never the reception.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

import torch

from dicomnode.execute.backends.local import ModelWorkerSettings
from dicomnode.execute.findings_file import load_findings, save_findings
from dicomnode.execute.program import serve, timed
from dicomnode.execute.tasks import InferReply, InferTask, Ready, Task
from dicomnode.execute.volume_file import load_volume
from dicomnode.measure.outcome import outcomes_of, scores_of
from dicomnode.records import Finding, Inputs, Volume
from dicomnode.zoo.devices import resolve_device
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner


def main(connection: Connection, settings: ModelWorkerSettings) -> None:
    """Entry point of the spawned process."""
    serve(connection, lambda: ModelWorker(settings))


class ModelWorker:
    """Models on one device, and the volume that was read last."""

    def __init__(self, settings: ModelWorkerSettings) -> None:
        if settings.cpu_threads:
            torch.set_num_threads(settings.cpu_threads)
        self.device = resolve_device(settings.device)
        registry = Registry(settings.zoo_paths, settings.zoo_digests, settings.zoo_thresholds, settings.zoo_horizons_h)
        self.runners = {
            name: Runner(registry.get(name), self.device, precision=settings.precision) for name in settings.models
        }
        self._volume: tuple[Path, Volume] | None = None

    def ready(self) -> Ready:
        """The device, and the digest of each model."""
        return Ready(self.device, {name: runner.model.digest for name, runner in self.runners.items()})

    def do(self, task: Task) -> InferReply:
        """Run one model and write its findings.

        Raises
        ------
        SeriesError : the model refuses the images.
        InferenceError : the model failed on these inputs, or an earlier finding is damaged on disk.
        """
        assert isinstance(task, InferTask)
        findings, reply = self.run(task, task.volume, task.earlier)
        with timed(reply.seconds, "save"):
            save_findings(task.findings, findings)
        return reply

    def run(
        self, task: InferTask, volume: Path | BinaryIO | None, earlier: Sequence[Path | BinaryIO]
    ) -> tuple[tuple[Finding, ...], InferReply]:
        """Run one model; nothing is written.

        Parameters
        ----------
        volume, earlier : what ``task`` names, as files here or as bytes that came from elsewhere.

        Raises
        ------
        SeriesError, InferenceError : as :meth:`do`.
        """
        seconds: dict[str, float] = {}
        with timed(seconds, "read"):
            inputs = self._inputs(task, volume, earlier)
        runner = self.runners[task.model]
        with timed(seconds, "infer"):
            findings = runner.run(inputs, keep_probability=task.keep_probability)
        reply = InferReply(
            model_digest=runner.model.digest,
            device=self.device,
            seconds=seconds,
            outcomes=outcomes_of(findings),
            scores=scores_of(findings),
            made_do=runner.told,
        )
        return findings, reply

    def _inputs(self, task: InferTask, volume: Path | BinaryIO | None, earlier: Sequence[Path | BinaryIO]) -> Inputs:
        given = tuple(finding for file in earlier for finding in load_findings(file))
        image = None if task.volume is None or volume is None else self._loaded(task.volume, volume)
        return Inputs(volume=image, context=task.context, earlier=given)

    def _loaded(self, path: Path, file: Path | BinaryIO) -> Volume:
        """The volume of a path, which is that of one claim: it names one volume for ever."""
        if self._volume is None or self._volume[0] != path:
            self._volume = None  # two of them take twice the memory
            self._volume = path, load_volume(file)
        return self._volume[1]

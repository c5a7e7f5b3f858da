"""The worker process: loads the models once, then answers one task after another.

It knows neither the database nor the network. Whatever breaks in it (a CUDA fault, an out-of-memory, a hang) costs one
run: the supervisor sees the pipe close or the time run out, kills what is left and starts another.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray

import dicomnode
from dicomnode.encode.case import encode_case
from dicomnode.errors import InferenceError, NodeError, SeriesError
from dicomnode.execute.findings_file import load_findings, save_findings
from dicomnode.execute.note_writer import write_not_performed, write_rejection
from dicomnode.execute.tasks import (
    FINDINGS,
    EncodeReply,
    EncodeTask,
    Failure,
    NotPerformedTask,
    Ready,
    RejectionTask,
    Reply,
    RunReply,
    RunTask,
    Source,
    Task,
)
from dicomnode.images.volume import LoadedSeries, read_series
from dicomnode.measure.exam import exam_probability
from dicomnode.measure.lesions import measure
from dicomnode.records import PROBABILITY_FLOOR, PROBABILITY_SCALE, Case, Finding, MaskFinding, Volume
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner

log = logging.getLogger(__name__)

ORPHAN_CHECK_S = 0.5
PACKAGE = Path(dicomnode.__file__).parent


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs to start. ``device``: ``auto``, ``cpu`` or ``cuda:N``; ``cpu_threads`` 0: all cores."""

    device: str
    models: tuple[str, ...]
    zoo_paths: tuple[Path, ...]
    zoo_digests: dict[str, str]
    cpu_threads: int = 0


def main(connection: Connection, settings: WorkerSettings) -> None:
    """Entry point of the spawned process: load, say ready, serve until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # pydicom's warnings quote the values they are about, and standard error is the node's log.
    warnings.simplefilter("ignore")
    threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        _serve(connection, settings)
    except (EOFError, BrokenPipeError):
        return


def _serve(connection: Connection, settings: WorkerSettings) -> None:
    try:
        worker = Worker(settings)
    except NodeError as fault:
        connection.send(Failure(str(fault), stage="start"))
        return
    connection.send(worker.ready())
    while True:
        connection.send(worker.answer(connection.recv()))


def _die_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)


class Worker:
    """Models kept warm on one device, and the series that was read last."""

    def __init__(self, settings: WorkerSettings) -> None:
        if settings.cpu_threads:
            torch.set_num_threads(settings.cpu_threads)
        self.device = resolve_device(settings.device)
        registry = Registry(settings.zoo_paths, settings.zoo_digests)
        self.runners = {name: Runner(registry.get(name), self.device) for name in settings.models}
        self._source: Source | None = None
        self._series: LoadedSeries | None = None

    def ready(self) -> Ready:
        """What the supervisor wants to know once the models are loaded."""
        return Ready(self.device, {name: runner.model.digest for name, runner in self.runners.items()})

    def answer(self, task: Task) -> Reply:
        """Do one task; every failure becomes a :class:`Failure`, so that the process lives on."""
        try:
            return self._do(task)
        except SeriesError as fault:
            return Failure(str(fault), refusal=fault.refusal, detail=fault.detail)
        except NodeError as fault:
            return Failure(str(fault), stage=type(fault).__name__)
        except Exception as fault:  # noqa: BLE001 (the boundary to foreign code: whatever a model raises costs one run)
            # Not the message: it may quote a patient attribute.
            named = f"{type(fault).__name__} at {place_of(fault)}"
            log.error("task failed", extra={"task": type(task).__name__, "error": named})
            return Failure(named, stage=type(task).__name__)

    def _do(self, task: Task) -> Reply:
        if isinstance(task, RunTask):
            return self._run(task)
        return self._encode(task) if isinstance(task, EncodeTask) else self._note(task)

    def _note(self, task: RejectionTask | NotPerformedTask) -> EncodeReply:
        seconds: dict[str, float] = {}
        with _timed(seconds, "encode"):
            if isinstance(task, RejectionTask):
                return EncodeReply((write_rejection(task),), seconds)
            research = any(self.runners[name].model.research for name in task.models)
            return EncodeReply((write_not_performed(task, research=research),), seconds)

    def _run(self, task: RunTask) -> RunReply:
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            series = self._load(task.source)
        runner = self.runners[task.model]
        with _timed(seconds, "infer"):
            outputs = runner.run(series.volume)
        with _timed(seconds, "measure"):
            findings = findings_of(runner, outputs, series.volume, keep_probability=task.keep_probability)
            save_findings(task.findings, findings)
        return RunReply(runner.model.digest, self.device, seconds)

    def _encode(self, task: EncodeTask) -> EncodeReply | Failure:
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            series = self._load(task.source)
            try:
                findings = tuple(finding for path in task.findings for finding in load_findings(path))
            except InferenceError as fault:
                return Failure(str(fault), stage=FINDINGS)
        with _timed(seconds, "encode"):
            results = encode_case(case_of(task, series, findings), task.folder, requested=task.requested)
        return EncodeReply(tuple(results), seconds)

    def _load(self, source: Source) -> LoadedSeries:
        if self._series is None or self._source != source:
            self._series, self._source = read_series(source.paths), source
        return self._series


def place_of(fault: BaseException) -> str:
    """``file.py:line`` of the innermost frame of this package that the error passed through."""
    frames = traceback.extract_tb(fault.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "unknown"


def findings_of(
    runner: Runner, outputs: dict[str, Any], volume: Volume, *, keep_probability: bool = False
) -> list[MaskFinding]:
    """Threshold each probability map as the bundle says, and measure what is left on the source grid."""
    findings = []
    for output in runner.manifest.outputs:
        mask: np.ndarray[Any, np.dtype[np.bool_]] = outputs[output.name] > output.threshold
        total, lesions, labels = measure(mask, volume, output.detection_limit_ml)
        if not lesions:
            # Specks below the detection limit alone are a negative: no SEG, and an SR that states the limit.
            mask, total = np.zeros_like(mask), None
        findings.append(
            MaskFinding(
                name=output.name,
                label=output.label,
                mask=mask,
                threshold=output.threshold,
                detection_limit_ml=output.detection_limit_ml,
                model=runner.model,
                total=total,
                lesions=lesions,
                lesion_labels=labels,
                concepts=output.concepts,
                exam_probability=None
                if output.exam_threshold is None
                else exam_probability(outputs[output.name], volume, output.exam_slope, output.exam_intercept),
                exam_threshold=output.exam_threshold,
                probability=stored_probability(outputs[output.name]) if keep_probability else None,
            )
        )
    return findings


def stored_probability(probability: NDArray[np.float32]) -> NDArray[np.uint16]:
    """0..1 in the steps of ``MaskFinding.probability``, same shape."""
    steps: NDArray[np.float32] = np.rint(probability * PROBABILITY_SCALE)
    steps[probability < PROBABILITY_FLOOR] = 0
    return steps.astype(np.uint16)


def case_of(task: EncodeTask, series: LoadedSeries, findings: Sequence[Finding]) -> Case:
    """Everything that shapes the results of a job."""
    return Case(
        sources=series.sources,
        # The newest header received: a name corrected after the scan is corrected in the results.
        identity=pydicom.dcmread(task.source.newest, stop_before_pixels=True),
        volume=series.volume,
        findings=tuple(findings),
        input_digests=series.input_digests,
        protocol=task.protocol,
        settings_digest=task.settings_digest,
        generation=task.generation,
        predecessors=task.predecessors,
        timezone=task.timezone,
        station_ae_title=task.station_ae_title,
    )


def resolve_device(device: str) -> str:
    """``auto`` -> ``cuda:0`` where CUDA works, else ``cpu``."""
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    return "cuda:0" if device == "cuda" else device


class _timed:
    """Adds the seconds spent in the block to ``seconds[name]``."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = round(time.perf_counter() - self.start, 3)

"""The process that holds a predicted scan against the CT that came: it reads, registers and measures, and ends.

It has a process of its own since it decodes bytes of a peer and takes memory and seconds that no job may wait for.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from dicomnode.execute.findings_file import load_findings
from dicomnode.execute.forecasts import can_register
from dicomnode.execute.limits import computing, reading
from dicomnode.execute.program import serve
from dicomnode.execute.tasks import CompareReply, CompareTask, Failure, Ready, Source, Task, Uncompared
from dicomnode.images.volume import read_series
from dicomnode.records import ImageFinding, MaskFinding, Volume
from dicomnode.zoo.followup.course import course_figures
from dicomnode.zoo.registration import motion_between

NICE = 10
"""Jobs go before it."""
COMPUTING_BYTES = 4 << 30
"""Two heads of 500 thin slices take some 2 GiB while one is laid onto the other."""


def main(connection: Connection, _: None) -> None:
    """Entry point of the spawned process."""
    os.nice(NICE)
    serve(connection, CompareWorker)


class CompareWorker:
    """Keeps nothing."""

    def ready(self) -> Ready:
        """Nothing is loaded."""
        return Ready("cpu", {})

    def do(self, task: Task) -> CompareReply | Failure:
        """One pair.

        Raises
        ------
        SeriesError : images cannot be read as a volume, or show no head.
        InferenceError : a file of findings is missing or damaged.
        OSError, MemoryError : disk or memory failed.
        """
        assert isinstance(task, CompareTask)
        if not can_register():
            return Failure("SimpleITK is not installed", refusal=Uncompared.NO_REGISTRATION)
        images = [one for one in load_findings(task.forecast) if isinstance(one, ImageFinding)]
        if not images:
            return Failure("the run gave no image", refusal=Uncompared.NO_FORECAST)
        first, later = _read(task.first), _read(task.later)
        with computing(COMPUTING_BYTES):
            try:
                motion = motion_between(first, later)
            except RuntimeError:
                return Failure("the two scans do not overlap", refusal=Uncompared.NOT_OVERLAPPING)
            figures = course_figures(first, images[0].hu, later, motion, _marked(task, later))
        return CompareReply(asdict(figures))


def _read(source: Source) -> Volume:
    with reading(len(source.paths)):
        return read_series(source.paths).volume


def _marked(task: CompareTask, later: Volume) -> NDArray[np.bool_]:
    """What is marked on the later scan."""
    for path in task.findings:
        for finding in load_findings(path):
            if isinstance(finding, MaskFinding) and finding.name == task.finding:
                return finding.mask
    return np.zeros(later.hu.shape, bool)

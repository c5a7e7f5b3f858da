"""The child's side: load, say ready, answer one task after another until the pipe closes.

A child knows neither the database nor the network. Whatever breaks in it costs one task: the supervisor sees the pipe
close or the time run out, kills what is left and starts another.
"""

from __future__ import annotations

import ctypes
import logging
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, TypeVar

import dicomnode
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.errors import NodeError, SeriesError
from dicomnode.execute.tasks import Failure, Ready, Reply, Task

log = logging.getLogger(__name__)

PACKAGE = Path(dicomnode.__file__).parent

Answer = TypeVar("Answer")


class Worker(Protocol):
    """What answers the tasks of a child process."""

    def ready(self) -> Ready:
        """What the supervisor wants to know once all is loaded."""
        ...

    def do(self, task: Task) -> Reply:
        """One task.

        Raises
        ------
        Exception : whatever foreign code raises; it becomes a :class:`Failure`.
        """
        ...


def serve(connection: Connection, load: Callable[[], Worker]) -> None:
    """Entry point of a spawned process.

    Parameters
    ----------
    load : builds the worker; a NodeError that it raises is the supervisor's answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_up_pydicom()
    # pydicom's warnings quote the values they are about, and standard error is the node's log.
    warnings.simplefilter("ignore")
    try:
        _serve(connection, load)
    except (EOFError, BrokenPipeError):
        return


def _serve(connection: Connection, load: Callable[[], Worker]) -> None:
    try:
        worker = load()
    except NodeError as fault:
        connection.send(Failure(str(fault), stage="start"))
        return
    connection.send(worker.ready())
    while True:
        connection.send(answer(worker, connection.recv()))
        give_back_memory()


def give_back_memory() -> None:
    """To the kernel, what is free: between what is kept of a large series glibc would hold on to half a gigabyte."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)


def answer(worker: Worker, task: Task) -> Reply:
    """Do one task; every failure becomes a :class:`Failure`, so that the process lives on."""
    return answered(lambda: worker.do(task), type(task).__name__)


def answered(do: Callable[[], Answer], task: str) -> Answer | Failure:
    """What a call gives, or its failure. ``task``: what it is called in the log."""
    try:
        return do()
    except SeriesError as fault:
        return Failure(str(fault), refusal=fault.refusal, detail=fault.detail)
    except NodeError as fault:
        return Failure(str(fault), stage=type(fault).__name__)
    except Exception as fault:  # noqa: BLE001 (the boundary to foreign code: whatever a model raises costs one run)
        # Not the message: it may quote a patient attribute.
        passes = fault_of(fault)
        named = f"{type(fault).__name__ if passes is Fault.STAYS else said_by(fault)} at {place_of(fault)}"
        log.error("task failed", extra={"task": task, "error": named})
        return Failure(named, stage=task, fault=passes)


def place_of(fault: BaseException) -> str:
    """``file.py:line`` of the innermost frame of this package that the error passed through."""
    frames = traceback.extract_tb(fault.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "unknown"


class timed:
    """Adds the seconds spent in the block to ``seconds[name]``."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = round(time.perf_counter() - self.start, 3)

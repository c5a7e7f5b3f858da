"""The bounds within which bytes of a peer are decoded: memory and processor time of this process, for a while.

Sizes are judged before anything is decoded; this is for what a decoder does all the same.
"""

from __future__ import annotations

import contextlib
import math
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from dicomnode.errors import Refusal, SeriesError

READING_BYTES, READING_BYTES_PER_FILE = 1 << 30, 12 << 20
"""An image of 1024 x 1024 takes 4 MiB in Hounsfield units, and as much again while the volume is put together."""
READING_CPU_S, READING_CPU_S_PER_FILE = 30.0, 1.0
"""JPEG 2000 takes some 30 ms for 512 x 512 pixels."""

DECODER_FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})
"""A process that dies of these while it reads would die of the same file again."""


@contextlib.contextmanager
def reading(files: int) -> Iterator[None]:
    """Read ``files`` images within bounds.

    Too much memory is an error; too much time ends the process by SIGXCPU, since native code listens to nothing else.

    Raises
    ------
    SeriesError : ``EXPANDS_TOO_FAR``: they take more memory than so many images need.
    MemoryError : the process has less than that: no fault of the images.
    """
    memory = _address_space() + READING_BYTES + files * READING_BYTES_PER_FILE
    is_ours = _is_lower(memory, resource.getrlimit(resource.RLIMIT_AS)[0])
    seconds = time.process_time() + READING_CPU_S + files * READING_CPU_S_PER_FILE
    with _limit(resource.RLIMIT_AS, memory), _limit(resource.RLIMIT_CPU, math.ceil(seconds)):
        try:
            yield
        except MemoryError:
            if not is_ours:
                raise
            raise SeriesError(Refusal.EXPANDS_TOO_FAR, "memory") from None


@contextlib.contextmanager
def computing(extra_bytes: int) -> Iterator[None]:
    """Compute with so much memory beyond what the process has; more than that is a ``MemoryError``."""
    with _limit(resource.RLIMIT_AS, _address_space() + extra_bytes):
        yield


@contextlib.contextmanager
def _limit(kind: int, soft: int) -> Iterator[None]:
    before, hard = resource.getrlimit(kind)
    lowest = min(value for value in (soft, before, hard) if value != resource.RLIM_INFINITY)
    resource.setrlimit(kind, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (before, hard))


def _is_lower(limit: int, other: int) -> bool:
    return other == resource.RLIM_INFINITY or limit < other


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def refusal_of_death(number: int) -> SeriesError | None:
    """Why images are refused whose reading ended the process by this signal; None where it may go better again."""
    if number == signal.SIGXCPU:
        return SeriesError(Refusal.EXPANDS_TOO_FAR, "processor time")
    if number in DECODER_FAULTS:
        return SeriesError(Refusal.UNREADABLE, f"the decoder crashed ({signal.Signals(number).name})")
    return None

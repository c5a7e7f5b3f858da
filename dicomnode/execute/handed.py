"""Files that the processes of a node hand each other: their bytes, and what is said where they cannot be read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.environment import PASSING, fault_of
from dicomnode.errors import InferenceError

Bytes = NDArray[np.uint8]
"""Of a file: so Ray's object store shares them with an actor without a copy."""
_DAMAGE = (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error)
"""What numpy, zipfile and json raise on a file that is cut short, overwritten or of another make."""


def stored(path: Path, what: str) -> Bytes:
    """The bytes of a file, unread. ``what`` it holds: ``findings``, ``the volume``.

    Raises
    ------
    InferenceError : the file is missing.
    OSError, MemoryError : disk or memory failed; see :mod:`dicomnode.environment`.
    """
    with readable(what):
        return np.fromfile(path, dtype=np.uint8)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Damage within becomes an InferenceError; what passes is raised as it is."""
    try:
        yield
    except _DAMAGE as fault:
        if fault_of(fault) in PASSING:
            raise
        raise InferenceError(f"{what} cannot be read: {type(fault).__name__}") from fault

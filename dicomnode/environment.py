"""Faults that pass and faults that stay, told apart in one place: what the node stands on is away, or the file is bad.

A mount that is away for six seconds says nothing about an image. What passes is tried again, and never ends in a
refusal; what stays is refused at once, with its reason.
"""

from __future__ import annotations

import errno
import sys
from enum import StrEnum
from typing import Any

from dicomnode.errors import EnvironmentFault

_OF_THE_CALL = frozenset(
    {
        errno.EINVAL,
        errno.EOVERFLOW,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EILSEQ,
        errno.EDOM,
        errno.ERANGE,
        errno.ESPIPE,
        errno.EPIPE,
    }
)
"""What the operating system answers to a call that can never work, such as a seek to where a damaged file points."""
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


class Fault(StrEnum):
    """What follows from an error, as far as it tells itself.

    ``stays``: the same call fails again. ``passes``: disk, file descriptors, a mount or the database are away, full or
    overloaded. ``memory``: there is too little of it, for now, or for what was asked: it may pass, so it is tried
    again, but not for ever. ``absent``: a file is not there, which passes where all of its folder is away.
    """

    STAYS = "stays"
    PASSES = "passes"
    MEMORY = "memory"
    ABSENT = "absent"


PASSING = frozenset({Fault.PASSES, Fault.MEMORY})
"""What says nothing about the file that was read."""


def fault_of(error: BaseException) -> Fault:
    """Whether an error passes; what is not known to pass stays.

    >>> fault_of(OSError(errno.ESTALE, "Stale file handle")), fault_of(OSError("image file is truncated"))
    (<Fault.PASSES: 'passes'>, <Fault.STAYS: 'stays'>)
    """
    if isinstance(error, MemoryError) or _is_errno(error, errno.ENOMEM):
        return Fault.MEMORY
    if isinstance(error, EnvironmentFault) or _is_database_away(error) or _is_out_of_threads(error):
        return Fault.PASSES
    # Decoders raise OSError without a number for what they find in a file; the operating system numbers all of its own.
    if not isinstance(error, OSError) or error.errno is None or error.errno in _OF_THE_CALL:
        return Fault.STAYS
    return Fault.ABSENT if error.errno in _ABSENT else Fault.PASSES


def raise_unless_it_stays(error: BaseException) -> None:
    """Raise the error again where it says nothing about the file that was read.

    Raises
    ------
    BaseException : the error itself, where it passes or the file is absent.
    """
    if fault_of(error) is not Fault.STAYS:
        raise error


def said_by(error: BaseException) -> str:
    """What an error says, without paths or values: they may name a patient."""
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


def _is_errno(error: BaseException, number: int) -> bool:
    return isinstance(error, OSError) and error.errno == number


def _is_out_of_threads(error: BaseException) -> bool:
    # The operating system's EAGAIN or ENOMEM; Python raises no type of its own for it.
    return type(error) is RuntimeError and str(error) == "can't start new thread"


def _is_database_away(error: BaseException) -> bool:
    # Where it is not loaded, no error is one of its; the processes that have no database do not load it for this.
    library: Any = sys.modules.get("sqlalchemy.exc")
    if library is None:
        return False
    away = (library.OperationalError, library.InterfaceError, library.TimeoutError)
    return isinstance(error, away) or getattr(error, "connection_invalidated", False) is True

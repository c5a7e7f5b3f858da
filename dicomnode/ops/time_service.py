"""Whether the system keeps its clock by a time server, and how wrong it may be: asked of the kernel (adjtimex(2))."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from dataclasses import dataclass

ERROR = 5
"""TIME_ERROR: the clock is not synchronised."""


class _Timex(ctypes.Structure):
    """``struct timex`` of Linux; only what is read is named, the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


@dataclass(frozen=True, slots=True)
class ClockQuality:
    """``error_s``: by how much the clock may be wrong, as the kernel reckons since the last word of a time server."""

    is_synchronised: bool
    error_s: float


def clock_quality() -> ClockQuality | None:
    """Of this machine; None where the kernel does not tell."""
    if sys.platform != "linux":
        return None
    asked = _Timex()
    state = ctypes.CDLL(ctypes.util.find_library("c")).adjtimex(ctypes.byref(asked))
    return None if state < 0 else ClockQuality(state != ERROR, asked.maxerror / 1e6)

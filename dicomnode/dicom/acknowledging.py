"""Acknowledgements of TCP without delay: DICOM messages are several writes, and many a peer waits between them.

A C-STORE is a command and a data set, and DCMTK, hence many a PACS, answers in two writes: with Nagle's algorithm the
second is held back until the first is acknowledged, which Linux puts off by 40 ms, for each instance.
"""

from __future__ import annotations

import contextlib
import socket


def acknowledge_at_once(connection: socket.socket | None) -> None:
    """Have the system acknowledge what has come; it falls back to its delay by itself, hence is asked each time.

    Nothing where there is no connection any more, or the system is not Linux.
    """
    if connection is not None and hasattr(socket, "TCP_QUICKACK"):
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

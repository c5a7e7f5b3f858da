"""Frames of MLLP: ``VT message FS CR`` (HL7 v2.5 appendix C, minimal lower layer protocol)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
KEPT_OF_TOO_LARGE = 8192
"""Bytes of a message that is too large which are kept: its header says whom to answer."""
_MARK = re.compile(b"[" + VT + FS + b"]")


def framed(message: bytes) -> bytes:
    """A message as it goes over the wire."""
    return VT + message + FS + CR


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. ``is_whole``: False where it was too large, and only its beginning is here."""

    content: bytes
    is_whole: bool = True


class Framer:
    """Takes bytes as they come and gives whole messages; holds at most one message, and no more than is allowed of it.

    Parameters
    ----------
    max_bytes : of one message.

    Attributes
    ----------
    strays : bytes outside of any frame since the last message; blanks and line ends are none.
    is_within : a frame is open.
    """

    def __init__(self, max_bytes: int) -> None:
        self.strays = 0
        self.is_within = False
        self._max_bytes = max_bytes
        self._content = bytearray()
        self._is_too_large = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The messages that these bytes complete."""
        at = 0
        for mark in _MARK.finditer(data):
            self._take(data[at : mark.start()])
            at = mark.end()
            if mark[0] == VT:
                # VT is no part of any message: whoever sends it again begins again
                self._begin()
            elif self.is_within:
                yield self._finish()
            else:
                self.strays += 1
        self._take(data[at:])

    def _take(self, part: bytes) -> None:
        if not self.is_within:
            self.strays += len(part.strip(b"\r\n\0 "))
        elif not self._is_too_large:
            self._content += part
            if len(self._content) > self._max_bytes:
                self._is_too_large = True
                del self._content[KEPT_OF_TOO_LARGE:]

    def _begin(self) -> None:
        self.is_within, self._is_too_large = True, False
        self._content.clear()

    def _finish(self) -> Frame:
        frame = Frame(bytes(self._content), not self._is_too_large)
        self.is_within, self.strays = False, 0
        self._content.clear()
        return frame

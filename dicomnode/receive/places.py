"""Who is associated with a node whose port several processes serve: each tells the others, in memory they share."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.reduction import DupFd
from typing import Any

TITLE_BYTES = 16
"""Of an AE title (DICOM PS3.5 6.2)."""
MOST = 2048
"""Associations of one receiver that are told: more than a configuration can allow."""

_PLACE_BYTES = 1 + TITLE_BYTES
_PART_BYTES = MOST * _PLACE_BYTES


class Places:
    """The associations of all receivers of a node, as one of them sees them.

    Each writes its own part of a table, and reads those of the others; :meth:`locked` makes a look and what follows
    from it one step. A file that has no name holds the table; it is handed to a process that is spawned.

    Parameters
    ----------
    receivers : how many there are.

    Attributes
    ----------
    number : of the receiver whose part this one writes, from 0.
    """

    def __init__(self, receivers: int = 1) -> None:
        with tempfile.TemporaryFile() as table:
            table.truncate(receivers * _PART_BYTES)
            self._open(os.dup(table.fileno()), receivers, 0)

    def _open(self, descriptor: int, receivers: int, number: int) -> None:
        self._descriptor, self.receivers, self.number = descriptor, receivers, number
        self._table = mmap.mmap(descriptor, receivers * _PART_BYTES)
        weakref.finalize(self, os.close, descriptor)

    def seen_by(self, number: int) -> Places:
        """The same table, of which another receiver's part is written."""
        other = Places.__new__(Places)
        other._open(os.dup(self._descriptor), self.receivers, number)
        return other

    def publish(self, titles: Sequence[str]) -> None:
        """Tell the others who is associated here: calling AE titles, one for each association."""
        part = b"".join(b"\1" + title.encode("ascii").ljust(TITLE_BYTES)[:TITLE_BYTES] for title in titles[:MOST])
        at = self.number * _PART_BYTES
        self._table[at : at + _PART_BYTES] = part.ljust(_PART_BYTES, b"\0")

    def elsewhere(self) -> Counter[str]:
        """Associations of all other receivers, by calling AE title."""
        return sum((self._part(number) for number in range(self.receivers) if number != self.number), Counter())

    def _part(self, number: int) -> Counter[str]:
        part = self._table[number * _PART_BYTES : (number + 1) * _PART_BYTES]
        count = part[::_PLACE_BYTES].count(1)
        starts = range(1, count * _PLACE_BYTES, _PLACE_BYTES)
        return Counter(part[at : at + TITLE_BYTES].decode("ascii").strip() for at in starts)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else is in such a block. The lock of a process that dies is free."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def __getstate__(self) -> dict[str, Any]:
        return {"descriptor": DupFd(self._descriptor), "receivers": self.receivers, "number": self.number}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open(state["descriptor"].detach(), state["receivers"], state["number"])

"""One line at ERROR when images begin to be refused for what the node itself lacks, one when they are taken again."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger(__name__)

QUIET_S = 30.0
"""So long nothing must have been refused: on a disk that is nearly full small images pass and large ones do not."""


class Alarm:
    """Whether images are being refused with 0xA700. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused_at: float | None = None
        self._count = 0

    def refused(self, reason: str) -> None:
        """An image was refused for want of disk, memory or database; ``reason`` without values."""
        with self._lock:
            is_first = self._refused_at is None
            self._refused_at, self._count = time.monotonic(), self._count + 1
        if is_first:
            log.error("images are refused until this passes", extra={"action": "environment", "reason": reason})

    def taken(self) -> None:
        """An image was taken."""
        with self._lock:
            if self._refused_at is None or time.monotonic() - self._refused_at < QUIET_S:
                return
            count, self._refused_at, self._count = self._count, None, 0
        log.warning("images are taken again", extra={"action": "environment", "refused": count})

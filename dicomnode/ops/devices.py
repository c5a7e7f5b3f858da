"""Memory of the NVIDIA devices of this machine, as ``nvidia-smi`` tells it: the node's own process loads no torch."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

ASKED_EVERY_S = 30.0
TIMEOUT_S = 5.0
COMMAND = ("nvidia-smi", "--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes of one device, as ``cuda:N``."""

    device: str
    used: int
    total: int


class Devices:
    """Asks at most every :data:`ASKED_EVERY_S`, and never where there is no card."""

    def __init__(self, marker: Path = Path("/dev/nvidia0")) -> None:
        self._marker = marker
        self._asked_at = float("-inf")
        self._known: Sequence[DeviceMemory] = ()

    def memory(self) -> Sequence[DeviceMemory]:
        """Of each device; none where there is no card, or it does not answer."""
        if self._marker.exists() and time.monotonic() - self._asked_at >= ASKED_EVERY_S:
            self._asked_at = time.monotonic()
            self._known = _asked()
        return self._known


def _asked() -> Sequence[DeviceMemory]:
    try:
        answer = subprocess.run(COMMAND, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        return parsed(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as fault:
        log.warning("devices do not tell their memory", extra={"error": type(fault).__name__})
        return ()


def parsed(text: str) -> Sequence[DeviceMemory]:
    """What ``nvidia-smi`` printed: index, MiB used, MiB in all; a line each.

    Raises
    ------
    ValueError : it is something else.

    >>> parsed("0, 1024, 143771\\n")
    [DeviceMemory(device='cuda:0', used=1073741824, total=150754820096)]
    """
    rows = [[int(cell) for cell in line.split(",")] for line in text.splitlines() if line.strip()]
    return [DeviceMemory(f"cuda:{index}", used * MIB, total * MIB) for index, used, total in rows]

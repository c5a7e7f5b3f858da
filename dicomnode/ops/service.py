"""What a service manager is told: that the node is ready, that it lives, that it stops (sd_notify(3)).

Under systemd with ``Type=notify`` and ``WatchdogSec=`` a node that hangs is ended and started again. Elsewhere nothing
is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def tell(state: str, environment: Mapping[str, str] | None = None) -> bool:
    """Send a state to the service manager; False where there is none, or where it is away."""
    address = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # an abstract socket is written with an @ in the environment
    path = f"\0{address[1:]}" if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.connect(path)
        manager.sendall(state.encode())
        return True
    return False


def watchdog_every_s(environment: Mapping[str, str] | None = None) -> float:
    """How often this process must say that it lives: half of what the manager waits; 0 where nobody waits."""
    told = os.environ if environment is None else environment
    if told.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        return max(0.0, int(told.get("WATCHDOG_USEC", "0")) / 2e6)
    except ValueError:
        return 0.0

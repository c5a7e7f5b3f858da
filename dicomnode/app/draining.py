"""Draining: nothing new is taken, what was begun is finished and sent, then the node ends with exit code 0.

What waits in the queue, and what a destination does not take now, is taken up at the next start.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.store.deliver.outbox import has_fresh_parcels
from dicomnode.store.engine import Store

DRAIN_SIGNAL = signal.SIGUSR1
DRAIN_TICK_S = 0.25
_LOOK_S = 0.2
_STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a node has begun.

    Parameters
    ----------
    associations : how many are open.
    is_busy : whether a job is under way.
    destinations : that this node sends to.
    """

    store: Store
    associations: Callable[[], int]
    is_busy: Callable[[], bool]
    destinations: Sequence[str]

    def is_over(self) -> bool:
        """Whether nothing is under way, and nothing waits that was not tried yet; False where the database is away."""
        if self.associations() or self.is_busy():
            return False
        try:
            with self.store.read() as session:
                return not has_fresh_parcels(session, self.destinations)
        except SQLAlchemyError:
            return False


def drain(data_dir: Path, timeout_s: float, say: Callable[[str], None]) -> bool:
    """Drain the nodes of this machine that run on a data folder; False where time was over and SIGTERM stopped them.

    Parameters
    ----------
    say : told of each node.
    """
    running = dict(running_nodes(data_dir))
    for role, pid in running.items():
        say(f"node (role {role}, process {pid}): draining")
        _send(pid, DRAIN_SIGNAL)
    if _wait(data_dir, timeout_s):
        return True
    for role, pid in running_nodes(data_dir):
        say(f"node (role {role}, process {pid}): time is over, it is stopped")
        _send(pid, signal.SIGTERM)
    _wait(data_dir, _STOP_S)
    return False


def running_nodes(data_dir: Path) -> Iterator[tuple[str, int]]:
    """Role and process id of the nodes of this machine that hold the lock of a data folder, which others may share."""
    for path in sorted(data_dir.glob(".*.lock")):
        with suppress(OSError, ValueError), path.open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _, host = lock.read().partition(" ")
                if host == socket.gethostname():
                    yield path.name[1:].removesuffix(".lock"), int(pid)


def _wait(data_dir: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(running_nodes(data_dir)):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_S)
    return True


def _send(pid: int, number: signal.Signals) -> None:
    # it may have ended by itself
    with suppress(ProcessLookupError):
        os.kill(pid, number)

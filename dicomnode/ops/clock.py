"""Notices that the clock of this machine was set: wall clock against monotonic clock, before every duty."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dicomnode.store.clock import Step, last_seen_at, note_seen, record_step
from dicomnode.store.engine import Store

log = logging.getLogger(__name__)

STEP_S = 2.0
"""A difference up to this long is no step: a clock that is slewed, or a process that did not get the processor."""
START_STEP_S = 15.0
"""At start the clock must lie this far behind when a node last ran: clocks of several machines differ a little."""
SEEN_EVERY_S = 10.0

Clock = Callable[[], float]


class ClockWatch:
    """The clock as this process sees it.

    Parameters
    ----------
    owner : names this process among those on one database.
    wall, monotonic : seconds; the latter is never set, and stands still while the machine sleeps.
    """

    def __init__(self, store: Store, owner: str, *, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._store, self._owner = store, owner
        self._wall, self._monotonic = wall, monotonic
        self._lock = threading.Lock()
        self._ahead = wall() - monotonic()
        self._seen = monotonic() - SEEN_EVERY_S

    def start(self) -> None:
        """A clock that was set back while no node ran has left times in the future.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away.
        """
        with self._store.read() as session:
            seen_at = last_seen_at(session)
        now = self._wall()
        if seen_at is not None and now < seen_at - START_STEP_S:
            self._move(now - seen_at)

    def check(self) -> None:
        """Move what is waited for where the clock was set since the last call.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away; the next call does it.
        """
        with self._lock:
            ahead = self._wall() - self._monotonic()
            by_s = ahead - self._ahead
            if abs(by_s) >= STEP_S:
                self._move(by_s)
            self._ahead = ahead
            if self._monotonic() - self._seen >= SEEN_EVERY_S:
                self._seen = self._monotonic()
                with self._store.write() as session:
                    note_seen(session, self._wall())

    def _move(self, by_s: float) -> None:
        with self._store.write() as session:
            self._store.alone(session)
            moved = record_step(session, Step(by_s, self._wall(), self._owner))
        facts = {"action": "clock", "by_s": round(by_s, 3), "moved": moved}
        log.warning("the clock was set: what is waited for was moved with it", extra=facts)

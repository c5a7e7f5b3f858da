"""Circuit breaker of one destination: while it cannot be reached, one probe per back-off and nothing else."""

from __future__ import annotations

import random
import time

from dicomnode.deliver.backoff import Backoff

ECHO_INTERVAL_S = 60.0
"""During long back-offs a C-ECHO asks this often whether the destination is back."""


class Breaker:
    """Counts failures of the destination itself (no association, association lost), not of single instances.

    Parameters
    ----------
    echo_interval_s : pause between two C-ECHOs while the breaker is open.
    """

    def __init__(self, backoff: Backoff, draw: random.Random, *, echo_interval_s: float = ECHO_INTERVAL_S) -> None:
        self._backoff = backoff
        self._draw = draw
        self._echo_interval_s = echo_interval_s
        self._failures = 0
        self._open_until = 0.0
        self._next_echo_at = float("inf")
        self._echo_misled = False

    @property
    def failures(self) -> int:
        """Consecutive failures; 0 once the destination has answered a C-STORE."""
        return self._failures

    @property
    def is_open(self) -> bool:
        """Whether nothing may be sent now."""
        return time.monotonic() < self._open_until

    def trip(self, at_least_s: float = 0.0) -> float:
        """The destination failed; returns for how many seconds it is left alone.

        Parameters
        ----------
        at_least_s : what it asked for itself; waited for without an echo, but never longer than the largest back-off.
        """
        self._failures += 1
        delay_s = max(self._backoff.delay_s(self._failures, self._draw), min(at_least_s, self._backoff.max_s))
        now = time.monotonic()
        self._open_until = now + delay_s
        self._next_echo_at = float("inf") if self._echo_misled or at_least_s else now + self._echo_interval_s
        return delay_s

    def answered(self) -> None:
        """Count an answer of the destination to a C-STORE, whatever its status."""
        self._failures = 0
        self._echo_misled = False

    def wants_echo(self) -> bool:
        """Whether it is time to ask by C-ECHO if the destination is back; counts as asked."""
        now = time.monotonic()
        if now < self._next_echo_at:
            return False
        self._next_echo_at = now + self._echo_interval_s
        return True

    def resume(self) -> None:
        """A C-ECHO was answered: close. If storing fails all the same, the next back-off is waited for in full."""
        self._echo_misled = True
        self._open_until = 0.0

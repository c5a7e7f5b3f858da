"""The next attempt at a delivery: exponential back-off with jitter, from seconds to hours, until it is given up."""

from __future__ import annotations

import random
from dataclasses import dataclass

from dicomnode.config.destinations import BaseDestination

JITTER = 0.2
"""A delay is drawn from its nominal value x (1 +- JITTER): nodes that lost one PACS do not all return at one moment."""

_MAX_DOUBLINGS = 62


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of one destination.

    Attributes
    ----------
    min_s, max_s : nominal delay after the first failure, and the largest.
    give_up_after_s : age of a delivery from which a failure is final.
    """

    min_s: float
    max_s: float
    give_up_after_s: float

    @classmethod
    def of(cls, destination: BaseDestination) -> Backoff:
        """The back-off that a destination is configured for."""
        return cls(destination.retry_min_s, destination.retry_max_s, destination.give_up_after_h * 3600.0)

    def nominal_s(self, attempts: int) -> float:
        """Delay after this many failed attempts (1 or more), without jitter.

        >>> [Backoff(5, 14400, 604800).nominal_s(attempts) for attempts in (1, 2, 3, 12, 13, 10**6)]
        [5.0, 10.0, 20.0, 10240.0, 14400.0, 14400.0]
        """
        doublings = min(max(attempts - 1, 0), _MAX_DOUBLINGS)
        return float(min(self.max_s, self.min_s * 2**doublings))

    def delay_s(self, attempts: int, draw: random.Random) -> float:
        """Delay after this many failed attempts, with jitter, at most ``max_s``."""
        return min(self.max_s, self.nominal_s(attempts) * draw.uniform(1.0 - JITTER, 1.0 + JITTER))

    def gives_up(self, created_at: float, now: float) -> bool:
        """Whether a delivery created at ``created_at`` is old enough to be given up when it fails at ``now``."""
        return now - created_at >= self.give_up_after_s

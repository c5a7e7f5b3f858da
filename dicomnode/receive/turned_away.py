"""Who is turned away stands in the log once; whoever comes again and again is counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)

COUNTED_S = 60.0
"""So long the same is counted, then told with its number."""
MOST_COUNTED = 1000
"""Peers and reasons that are told apart; of further ones each stands in the log."""


class TurnedAway:
    """Log lines about those who were turned away. Belongs to one thread."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str, object], float] = {}
        self._counts: dict[tuple[str, str, object], int] = {}

    def tell(self, message: str, reason: str, facts: Mapping[str, object]) -> None:
        """One line, or one more of the same.

        Parameters
        ----------
        facts : for the log; those with the same ``peer`` and reason are the same.
        """
        key = (message, reason, facts.get("peer"))
        if key in self._since:
            self._counts[key] = self._counts.get(key, 0) + 1
            return
        if len(self._since) < MOST_COUNTED:
            self._since[key] = time.monotonic()
        log.warning(message, extra={"reason": reason, **facts})

    def flush(self) -> None:
        """Tell of those that were counted for long enough."""
        for key, since in list(self._since.items()):
            if time.monotonic() - since > COUNTED_S:
                self._forget(key)

    def flush_all(self) -> None:
        """Tell of all that were counted."""
        for key in list(self._since):
            self._forget(key)

    def _forget(self, key: tuple[str, str, object]) -> None:
        del self._since[key]
        count = self._counts.pop(key, 0)
        if count:
            message, reason, peer = key
            log.warning(f"{message}, again", extra={"reason": reason, "peer": peer, "times": count})

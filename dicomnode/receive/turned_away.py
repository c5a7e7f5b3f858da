"""Who is turned away stands in the log once; whoever comes again and again is counted."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

COUNTED_S = 60.0
"""So long the same is counted, then told with its number."""
MOST_COUNTED = 1000
"""Peers and reasons that are told apart; of further ones each stands in the log."""
MOST_TITLES = 16
"""AE titles of one address and reason that are told apart: a gateway has some, an attacker may have any number."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What is told apart. ``titles``: calling and called AE title; empty behind ``MOST_TITLES``."""

    message: str
    reason: str
    peer: object
    titles: tuple[object, ...] = ()


class TurnedAway:
    """Log lines about those who were turned away. Belongs to one thread."""

    def __init__(self) -> None:
        self._since: dict[_Case, float] = {}
        self._counts: Counter[_Case] = Counter()

    def tell(self, message: str, reason: str, facts: Mapping[str, object]) -> None:
        """One line, or one more of the same.

        Parameters
        ----------
        facts : for the log; those with the same ``peer``, titles and reason are the same.
        """
        case = self._case(message, reason, facts)
        if case in self._since:
            self._counts[case] += 1
            return
        if len(self._since) < MOST_COUNTED:
            self._since[case] = time.monotonic()
        log.warning(message, extra={"reason": reason, **facts})

    def _case(self, message: str, reason: str, facts: Mapping[str, object]) -> _Case:
        crowd = _Case(message, reason, facts.get("peer"))
        titles = facts.get("calling_ae"), facts.get("called_ae")
        case = _Case(message, reason, facts.get("peer"), titles if any(titles) else ())
        if case in self._since:
            return case
        known = sum((one.message, one.reason, one.peer) == (message, reason, crowd.peer) for one in self._since)
        return case if known < MOST_TITLES else crowd

    def flush(self) -> None:
        """Tell of those that were counted for long enough."""
        for case, since in list(self._since.items()):
            if time.monotonic() - since > COUNTED_S:
                self._forget(case)

    def flush_all(self) -> None:
        """Tell of all that were counted."""
        for case in list(self._since):
            self._forget(case)

    def _forget(self, case: _Case) -> None:
        del self._since[case]
        count = self._counts.pop(case, 0)
        if count:
            titles = dict(zip(("calling_ae", "called_ae"), case.titles, strict=False))
            facts = {"reason": case.reason, "peer": case.peer, **titles, "times": count}
            log.warning(f"{case.message}, again", extra=facts)

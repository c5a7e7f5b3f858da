"""When a running node tests its models: once it works, every night, and whenever their configuration has changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from dicomnode.app.selftest_process import Tested, models_with_answers, test_models
from dicomnode.config.whole import Config
from dicomnode.environment import said_by
from dicomnode.errors import NodeError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
_SECTIONS = ("protocol", "execution", "zoo")


def is_night(now: datetime, hour: int, last: date | None) -> bool:
    """Whether the models are to be tested for this night.

    Parameters
    ----------
    last : when they were tested for a night; None: never.

    >>> [is_night(datetime(2026, 1, 2, hour, 30), 3, date(2026, 1, day)) for hour, day in ((3, 1), (3, 2), (4, 1))]
    [True, False, False]
    """
    return now.hour == hour and now.date() != last


class SelfTests:
    """What the known answers of the models came to; :meth:`look` is a duty.

    Parameters
    ----------
    is_working : whether a worker has its models loaded: before that the first images have the machine for themselves.
    """

    def __init__(self, config: Config, *, is_working: Callable[[], bool], is_stopping: Callable[[], bool]) -> None:
        self._config, self._is_working, self._is_stopping = config, is_working, is_stopping
        self._is_due = True
        self._last_night: date | None = None
        self._known: dict[str, Tested] = {}

    def told(self) -> Mapping[str, tuple[bool, str]]:
        """Model -> whether it passed when it was last tested, and what was said; for any thread."""
        return {name: (one.ok, one.says) for name, one in self._known.items()}

    def reload(self, config: Config) -> None:
        """Go by another configuration."""
        if any(getattr(self._config, name) != getattr(config, name) for name in _SECTIONS):
            self._is_due = True
        self._config = config

    def look(self) -> None:
        """Test where it is time to."""
        zoo, now = self._config.zoo, datetime.now(ZoneInfo(self._config.node.timezone))
        # In a cluster a test would need a place of its own, and take it from patients: 'dicomnode check' asks there.
        if not zoo.selftest or self._config.execution.backend == "ray" or not self._is_working():
            return
        night = is_night(now, zoo.selftest_hour, self._last_night)
        if night:
            self._last_night = now.date()
        if self._is_due or night:
            self._is_due = False
            self._test(self._config)

    def _test(self, config: Config) -> None:
        began = time.monotonic()
        try:
            names = models_with_answers(config)
            tested = test_models(config, names, self._is_stopping) if names else []
        except (NodeError, OSError) as fault:
            reason = said_by(fault) if isinstance(fault, OSError) else str(fault)
            log.error("models not tested", extra={"action": "selftest", "reason": reason})
            self._known = {"models": Tested("models", False, f"not tested: {reason}")}
            return
        for one in tested:
            facts = {"action": "selftest", "model": one.name, "says": one.says}
            log.info("selftest passed", extra=facts) if one.ok else log.error("selftest FAILED", extra=facts)
        log.info("models tested", extra={"action": "selftest", "seconds": round(time.monotonic() - began, 1)})
        self._known = {one.name: one for one in tested}

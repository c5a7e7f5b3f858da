"""Who did what: one log line for each login and each action, under ``action = "audit"``."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)


def audit(did: str, user: str, address: str, *, outcome: str, **about: Any) -> None:
    """Tell of one deed; ``about`` holds ids and names of the configuration, nothing of a patient."""
    facts = {"action": "audit", "did": did, "user": user, "address": address, "outcome": outcome, **about}
    log.info("audit", extra=facts)

"""Events that stand in no row of the history: heard from the log lines that tell of them, kept until they are rows."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from dicomnode.ops.audit import events
from dicomnode.ops.audit.events import Who
from dicomnode.ops.audit.message import AuditEvent

PACKAGE = "dicomnode"
REJECTED, REJECTED_AGAIN = "association rejected", "association rejected, again"
ASKED = "destination asked"
TAKEN_OVER, NOT_TAKEN_OVER = "configuration taken over", "configuration not taken over"
ACCOUNTS = "accounts changed"
TELLERS = ("ops.http.audit", "ops.http.accounts", "deliver.route", "app.serving", "receive.turned_away")
"""Who says it: at INFO, whatever level the log is kept at."""
MOST_HEARD = 10_000
"""Kept in memory; a duty makes rows of them every second."""


class Heard(logging.Handler):
    """A handler of the package's logger; any thread may log."""

    def __init__(self, node: Who) -> None:
        super().__init__(logging.INFO)
        self._node = node
        self._events: deque[AuditEvent] = deque()
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is an event."""
        said = str(record.msg)
        read = _READERS.get(said) or (_read_again if said.startswith(NOT_TAKEN_OVER) else None)
        event = None if read is None else read(self._node, record)
        if event is None:
            return
        if len(self._events) >= MOST_HEARD:
            self.lost += 1
        else:
            self._events.append(event)

    def add(self, event: AuditEvent) -> None:
        """One more."""
        self._events.append(event)

    def take(self) -> list[AuditEvent]:
        """All that was heard since the last call."""
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def give_back(self, taken: list[AuditEvent]) -> None:
        """They could not be written now."""
        self._events.extendleft(reversed(taken))

    def install(self) -> None:
        """Begin to hear."""
        for name in TELLERS:
            logging.getLogger(f"{PACKAGE}.{name}").setLevel(logging.INFO)
        logging.getLogger(PACKAGE).addHandler(self)

    def remove(self) -> None:
        """Hear no more."""
        for name in TELLERS:
            logging.getLogger(f"{PACKAGE}.{name}").setLevel(logging.NOTSET)
        logging.getLogger(PACKAGE).removeHandler(self)


def _rejected(node: Who, record: logging.LogRecord) -> AuditEvent:
    return events.rejected(
        node,
        record.created,
        calling_ae=str(getattr(record, "calling_ae", "")),
        address=str(getattr(record, "peer", "")),
        reason=str(getattr(record, "reason", "")),
        times=int(getattr(record, "times", 1)),
    )


def _asked(node: Who, record: logging.LogRecord) -> AuditEvent:
    return events.queried(
        node,
        record.created,
        destination=str(getattr(record, "destination", "")),
        level=str(getattr(record, "query_level", "")),
        keys=list(getattr(record, "uids", [])),
    )


def _audited(node: Who, record: logging.LogRecord) -> AuditEvent | None:
    """Logins; what an operator does is an event of the history, too, and is taken from there."""
    did = str(getattr(record, "did", ""))
    if did not in ("login", "logout"):
        return None
    user, address = str(getattr(record, "user", "")), str(getattr(record, "address", ""))
    outcome = str(getattr(record, "outcome", ""))
    return events.login(node, record.created, did=did, user=user, address=address, outcome=outcome)


def _read_again(node: Who, record: logging.LogRecord) -> AuditEvent:
    changes = [str(one) for one in getattr(record, "changes", [])]
    refused = str(getattr(record, "reason", "")) if record.levelno >= logging.ERROR else ""
    return events.configured(node, record.created, changes=changes, refused=refused)


def _accounts(node: Who, record: logging.LogRecord) -> AuditEvent:
    changes = [str(one) for one in getattr(record, "changes", [])]
    return events.accounts_changed(node, record.created, changes=changes)


_READERS: dict[str, Callable[[Who, logging.LogRecord], AuditEvent | None]] = {
    REJECTED: _rejected,
    REJECTED_AGAIN: _rejected,
    ASKED: _asked,
    "audit": _audited,
    TAKEN_OVER: _read_again,
    ACCOUNTS: _accounts,
}

"""Counts what the node says at WARNING and above: its messages are constant, so each is a figure of its own."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, Counter

PACKAGE = "dicomnode"
REJECTED = "association rejected"
REJECTED_AGAIN = f"{REJECTED}, again"
"""What reception says of an association that it rejects, and of ``times`` more within a minute; ``reason`` is one of a
few."""


class WarningsCounted(logging.Handler):
    """A handler of the package's logger; keeps counts and no text that holds a value."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(logging.WARNING)
        self._said = Counter(
            "dicomnode_log_warnings", "Log lines at WARNING and above", ["level", "part", "message"], registry=registry
        )
        self._rejected = Counter(
            "dicomnode_associations_rejected", "Associations rejected by this process", ["reason"], registry=registry
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Count one line."""
        part = record.name.removeprefix(f"{PACKAGE}.").partition(".")[0]
        self._said.labels(record.levelname, part, str(record.msg)).inc()
        if record.msg in (REJECTED, REJECTED_AGAIN):
            self._rejected.labels(str(getattr(record, "reason", ""))).inc(getattr(record, "times", 1))

    def install(self) -> None:
        """Begin to count."""
        logging.getLogger(PACKAGE).addHandler(self)

    def remove(self) -> None:
        """Count no more."""
        logging.getLogger(PACKAGE).removeHandler(self)

"""How long a peer may take, and how many may be there."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnode.config.sections import Reception
from dicomnode.receive.line import Line
from dicomnode.receive.states import State

ACSE_TIMEOUT_S = 30.0
"""A connection that asks for no association is closed after this (ARTIM, DICOM PS3.8 9.1.5)."""
LINGER_S = 1.0
"""How long a peer has for reading the last word and closing, before the node closes; what it still sends is dropped."""
MAX_CONNECTIONS = 256
"""Open at a time beside the associations that are allowed: each costs a descriptor and some kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one acceptor; seconds, and bytes a second."""

    handshake_timeout_s: float
    request_timeout_s: float
    idle_timeout_s: float
    max_association_s: float
    linger_s: float
    min_bytes_per_s: float
    max_connections: int

    @classmethod
    def of(cls, reception: Reception) -> Limits:
        """Those of a configuration."""
        request_timeout_s = min(ACSE_TIMEOUT_S, reception.idle_timeout_s)
        return cls(
            handshake_timeout_s=request_timeout_s,
            request_timeout_s=request_timeout_s,
            idle_timeout_s=reception.idle_timeout_s,
            max_association_s=reception.max_association_s,
            linger_s=LINGER_S,
            min_bytes_per_s=reception.min_bytes_per_s,
            max_connections=reception.max_associations + reception.reserved_associations + MAX_CONNECTIONS,
        )


def overdue(line: Line, now: float, limits: Limits) -> str | None:
    """Why a connection is to be ended now; None while it is not.

    Parameters
    ----------
    now : of the monotonic clock.
    """
    if line.state == State.AWAITING_REQUEST:
        return "no request in time" if now - line.opened > limits.request_timeout_s else None
    if line.state == State.AWAITING_CLOSE:
        return "" if now - line.closing_since > limits.linger_s else None
    if line.state != State.ESTABLISHED:
        return None
    if now - line.opened > limits.max_association_s:
        return "the association is too long"
    if line.is_held:
        # It is the node that takes its time.
        line.window_since, line.window_bytes = now, 0
        return None
    if now - line.heard_at > limits.idle_timeout_s:
        return "idle"
    return _too_slow(line, now, limits)


def _too_slow(line: Line, now: float, limits: Limits) -> str | None:
    """Whether a peer that owes the rest of a message sent too little of it within the time that it may be idle."""
    if not line.is_within:
        line.window_since, line.window_bytes = now, 0
        return None
    seconds = now - line.window_since
    if seconds < limits.idle_timeout_s:
        return None
    is_slow = line.window_bytes < limits.min_bytes_per_s * seconds
    line.window_since, line.window_bytes = now, 0
    return f"slower than {limits.min_bytes_per_s:g} bytes/s" if is_slow else None

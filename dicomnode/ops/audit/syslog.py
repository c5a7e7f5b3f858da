"""Syslog over TLS: messages of RFC 5424 in frames of RFC 5425, as DICOM PS3.15 A.6 asks for them.

The protocol knows no acknowledgement. So each batch ends with a close of the TLS session that the server answers:
what it read up to there it has; without its answer the whole batch counts as not sent.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from dicomnode.config.audit import Audit
from dicomnode.config.destinations import WebTls
from dicomnode.config.tls import web_context

WHERE = "operations.audit"
TIMEOUT_S = 20.0
PRIORITY = 10 * 8 + 5
"""Facility 10 (security and authorisation), severity 5 (normal but significant)."""
APP_NAME, MESSAGE_ID = "dicomnode", "DICOM+RFC3881"
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message. ``at``: seconds since the epoch."""

    at: float
    xml: str


def frame(message: Waiting, host: str) -> bytes:
    """A message with its header, as it goes over the wire: its length, a blank, its octets."""
    at = datetime.fromtimestamp(message.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    header = f"<{PRIORITY}>1 {at} {host} {APP_NAME} {os.getpid()} {MESSAGE_ID} - "
    octets = (header + BOM + message.xml).encode("utf-8")
    return str(len(octets)).encode("ascii") + b" " + octets


def send(messages: Sequence[Waiting], to: Audit, *, timeout_s: float = TIMEOUT_S) -> None:
    """Send messages over one connection and have the server confirm that it read them all.

    Raises
    ------
    OSError : it did not; all are to be sent again.
    ConfigError : a certificate cannot be used.
    """
    tls = to.tls
    context = web_context(WebTls(ca=tls.ca, cert=tls.cert, key=tls.key), WHERE)
    host = socket.gethostname() or "-"
    connection = socket.create_connection((to.host, to.port), timeout=timeout_s)
    with closing(context.wrap_socket(connection, server_hostname=tls.server_name or to.host)) as secured:
        for message in messages:
            secured.sendall(frame(message, host))
        with suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):  # it closed, after it had read ours
            secured.unwrap()

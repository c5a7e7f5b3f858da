"""Whom the certificate of a peer names."""

from __future__ import annotations

import socket
import ssl
from typing import Any


def names_of(connection: socket.socket) -> frozenset[str]:
    """Names in the certificate that the peer of a connection showed; empty where it showed none."""
    return names_in(connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None)


def names_in(certificate: Any) -> frozenset[str]:
    """Common name and alternative names, lower case, of a certificate as :mod:`ssl` gives it; empty for None."""
    fields: Any = certificate or {}
    common = [value for part in fields.get("subject", ()) for key, value in part if key == "commonName"]
    return frozenset(name.lower() for name in (*common, *(value for _, value in fields.get("subjectAltName", ()))))

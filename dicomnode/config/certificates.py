"""Until when the certificates of a PEM file hold (X.509, RFC 5280 4.1): just that, read from their DER."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_BEFORE_VALIDITY = 3
"""Fields between version and validity: serial number, signature algorithm, issuer."""


def expiries(path: Path) -> list[float]:
    """When each certificate of a PEM file ends, in seconds since the epoch, in their order.

    Raises
    ------
    OSError : the file cannot be read.
    ValueError : it holds no certificate, or one that is damaged.
    """
    found = _PEM.findall(path.read_text(encoding="ascii", errors="replace"))
    if not found:
        raise ValueError("holds no certificate")
    try:
        return [_ends_at(ssl.PEM_cert_to_DER_cert(one)) for one in found]
    except (IndexError, StopIteration) as fault:
        raise ValueError("holds a damaged certificate") from fault


def _ends_at(der: bytes) -> float:
    ((_, certificate),) = _fields(der)
    _, to_be_signed = next(_fields(certificate))
    fields = [field for field in _fields(to_be_signed) if field[0] != _VERSION]
    _, (tag, text) = _fields(fields[_BEFORE_VALIDITY][1])
    return _moment(tag, text.decode("ascii"))


def _moment(tag: int, text: str) -> float:
    if tag == _UTC_TIME:  # two digits of a year: 50 and later are of the last century
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("holds a damaged certificate")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _fields(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element (X.690 8.1)."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        if at + length > len(der):
            raise ValueError("holds a certificate that is cut short")
        yield tag, der[at : at + length]
        at += length

"""Until when the certificates that the configuration names hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from dicomnode.app.check.finding import Finding
from dicomnode.config.certificates import expiries
from dicomnode.config.destinations import Destination
from dicomnode.config.whole import Config

DAY_S = 86400.0
SOON_DAYS = 30.0
"""A certificate that ends within this long is told of: a hospital's authority takes a while."""


def check_certificates(config: Config) -> Iterator[Finding]:
    """Check each file once, under the first key that names it."""
    named: dict[str, str] = {}
    for where, path in _files(config):
        if path:
            named.setdefault(path, where)
    for path, where in named.items():
        yield _finding(where, Path(path))


def _files(config: Config) -> Iterator[tuple[str, str]]:
    sections: list[tuple[str, str, str]] = [
        ("reception.tls", config.reception.tls.cert, config.reception.tls.ca),
        ("operations.tls", config.operations.tls.cert, ""),
        ("clinical.hl7.tls", config.clinical.hl7.tls.cert, config.clinical.hl7.tls.ca),
        ("clinical.fhir.tls", config.clinical.fhir.tls.cert, config.clinical.fhir.tls.ca),
    ]
    for destination in config.destination:
        way = "C-STORE" if isinstance(destination, Destination) else "DICOMweb"
        sections.append((f"{way} to {destination.name}, tls", destination.tls.cert, destination.tls.ca))
    for where, cert, ca in sections:
        yield f"{where}.cert", cert
        yield f"{where}.ca", ca


def _finding(where: str, path: Path) -> Finding:
    what = f"certificate {path.name}"
    try:
        ends_at = min(expiries(path))
    except (OSError, ValueError) as fault:
        return Finding(what, False, f"{where}: {path} cannot be read: {getattr(fault, 'strerror', '') or fault}")
    days = (ends_at - time.time()) / DAY_S
    until = time.strftime("%Y-%m-%d", time.gmtime(ends_at))
    if days <= 0:
        return Finding(what, False, f"{where}: ended on {until}: peers refuse it")
    says = f"{where}: holds until {until}, {days:.0f} days"
    return Finding(what, days > SOON_DAYS, says if days > SOON_DAYS else f"{says}: renew it", fatal=False)

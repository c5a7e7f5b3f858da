"""The HTTP port: what it needs is installed, it is free or answers, and somebody may log in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib.util import find_spec

from dicomnode.app.check.finding import Finding
from dicomnode.config.sections import ReceptionTls
from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError

WHAT = "HTTP port"
NEEDED = ("starlette", "uvicorn", "jinja2", "argon2", "prometheus_client")
INSTALL = "not installed: the HTTP port needs pip install 'dicomnode[operations]' (or operations.port = 0)"


def missing_for_http() -> list[str]:
    """What the HTTP port needs and is not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def check_operations(config: Config) -> Iterator[Finding]:
    """Check the port, where there is to be one; nothing is made."""
    operations = config.operations
    if not operations.has_http:
        return
    missing = missing_for_http()
    if missing:
        yield Finding(WHAT, False, f"{', '.join(missing)} {INSTALL}")
    try:
        tls = ReceptionTls(cert=operations.tls.cert, key=operations.tls.key, require_client_cert=False)
        server_context(tls, "operations.tls")
    except ConfigError as fault:
        yield from (Finding(WHAT, False, one) for one in fault.faults)
    yield _port(operations.host, operations.port)
    if not config.accounts_file.exists():
        says = "there is no account for the status page yet: dicomnode operations password NAME --role admin"
        yield Finding("accounts", False, says, fatal=not operations.is_loopback)


def _port(host: str, port: int) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            says = f"{host}:{port} cannot be used ({fault.strerror}); fine if the node is running already"
            return Finding(WHAT, False, says, fatal=False)
    return Finding(WHAT, True, f"{host}:{port} is free")

"""The port for HL7: whether it is free or answers, and who may send to it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator

from dicomnode.app.check.finding import Finding
from dicomnode.app.hl7 import require_hl7
from dicomnode.config.clinical import Hl7, Hl7Sender
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError
from dicomnode.receive.mllp.asking import ask

WHAT, SENDERS = "HL7 port", "HL7 senders"
TIMEOUT_S = 5.0
QUESTION = b"MSH|^~\\&|DICOMNODE-CHECK||||||QRY|CHECK|P|2.5\r"
"""Of a type that the node does not take: its answer stores nothing."""


def check_hl7(config: Config) -> Iterator[Finding]:
    """Check the port, where there is to be one; nothing is stored."""
    if not config.clinical.hl7.is_on:
        return
    try:
        require_hl7(config)
    except ConfigError as fault:
        yield from (Finding(WHAT, False, one) for one in fault.faults)
        return
    yield _port(config.clinical.hl7)
    yield from _senders(config.clinical.hl7)
    if not config.clinical.issuer:
        says = (
            "[clinical] issuer is empty: what comes for a patient ID with an assigning authority (PID-3.4) counts only "
            "for images that name the same issuer; set it to that authority"
        )
        yield Finding("HL7 patients", False, says, fatal=False)


def _port(hl7: Hl7) -> Finding:
    where, spoken = f"{hl7.host}:{hl7.port}", "TLS only" if hl7.tls.cert else "plain HL7"
    with socket.socket(socket.AF_INET6 if ":" in hl7.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((hl7.host, hl7.port))
        except OSError as fault:
            return _used(hl7, where, f"cannot be used ({fault.strerror})")
    return Finding(WHAT, True, f"{where} is free, {spoken}")


def _used(hl7: Hl7, where: str, why: str) -> Finding:
    """What listens there: the node, if it answers as HL7 does."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(hl7.host, hl7.host)
    try:
        answer = ask(host, hl7.port, QUESTION, timeout_s=TIMEOUT_S, context=_context(hl7))
    except ssl.SSLError as fault:
        says = (
            f"{where} is in use and speaks TLS, but not with this certificate ({fault.reason}); fine if the node runs"
        )
        return Finding(WHAT, False, says, fatal=False)
    except OSError as fault:
        says = f"{where} {why}, and gives this machine no answer ({fault}); fine if the node runs and lists its senders"
        return Finding(WHAT, False, says, fatal=False)
    if b"\rMSA" not in answer:
        return Finding(WHAT, False, f"{where} is used by something that does not speak HL7")
    return Finding(WHAT, True, f"{where} answers HL7 messages{', over TLS' if hl7.tls.cert else ''}")


def _context(hl7: Hl7) -> ssl.SSLContext | None:
    """To ask one's own port: with its own certificate, whose name need not be that of the address."""
    if not hl7.tls.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(hl7.tls.cert, hl7.tls.key, password=lambda: "")
    return context


def _senders(hl7: Hl7) -> Iterator[Finding]:
    """Who may send that nobody vouches for."""
    if not hl7.senders:
        says = "none is listed: anyone who reaches the port may tell values of patients; list them: senders, host"
        yield Finding(SENDERS, False, says, fatal=False)
    for sender in filter(_is_open, hl7.senders):
        name = sender.application or sender.facility or "one"
        says = f"{name} has neither host nor certificate: any machine that calls itself so may send"
        yield Finding(SENDERS, False, says, fatal=False)
    if not hl7.tls.cert:
        says = "no TLS: health data arrives in the clear, and MSH-3 is only what a sender says; see clinical.hl7.tls"
        yield Finding(SENDERS, False, says, fatal=False)
    if hl7.senders and not any(map(_is_open, hl7.senders)):
        yield Finding(SENDERS, True, f"{len(hl7.senders)} listed, each with its host or certificate")


def _is_open(sender: Hl7Sender) -> bool:
    anywhere = not sender.host or ipaddress.ip_network(sender.host, strict=False).prefixlen == 0
    return anywhere and not sender.certificate

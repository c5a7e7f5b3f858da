"""Who may send HL7: by address and certificate when it connects, by application and facility in each message."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from dicomnode.config.clinical import Hl7Sender
from dicomnode.receive.mllp.connection import Peer


def is_there(senders: Sequence[Hl7Sender], address: str) -> bool:
    """Whether anyone may send from an address, as far as is known before a certificate is shown."""
    peers = [sender.model_copy(update={"certificate": ""}) for sender in senders]
    return may_connect(peers, Peer(address=address))


def may_connect(senders: Sequence[Hl7Sender], peer: Peer) -> bool:
    """Whether anyone at this address, with this certificate, may send; where none is listed, anyone may.

    >>> lab = Hl7Sender(host="10.1.2.0/24", application="LAB", certificate="lab.example")
    >>> def asks(address, *names):
    ...     return may_connect([lab], Peer(address=address, names=frozenset(names)))
    >>> asks("10.1.2.9", "lab.example"), asks("::ffff:10.1.2.9", "lab.example"), asks("10.1.3.9", "lab.example")
    (True, True, False)
    >>> asks("10.1.2.9"), may_connect([], Peer(address="10.1.3.9"))
    (False, True)
    """
    return not senders or any(True for _ in _who(senders, peer))


def may_send(senders: Sequence[Hl7Sender], peer: Peer, application: str, facility: str) -> bool:
    """Whether a message of this application and facility (MSH-3, MSH-4) may come from there.

    >>> lab = Hl7Sender(host="10.1.2.0/24", application="LAB")
    >>> peer = Peer(address="10.1.2.9")
    >>> may_send([lab], peer, "LAB", "ANY"), may_send([lab], peer, "RIS", "ANY"), may_send([], peer, "RIS", "")
    (True, False, True)
    """
    return not senders or any(
        sender.application in ("", application) and sender.facility in ("", facility) for sender in _who(senders, peer)
    )


def _who(senders: Sequence[Hl7Sender], peer: Peer) -> Iterator[Hl7Sender]:
    address = ipaddress.ip_address(peer.address.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # how an IPv4 peer shows on a socket that serves both
    for sender in senders:
        matches = not sender.host or address in ipaddress.ip_network(sender.host, strict=False)
        if matches and (not sender.certificate or sender.certificate.lower() in peer.names):
            yield sender

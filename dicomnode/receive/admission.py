"""Who may associate: called AE title, calling AE title together with its address, and how many at a time."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from enum import Enum

from dicomnode.config.destinations import Destination
from dicomnode.config.sections import Sender
from dicomnode.config.whole import Config


class Rejection(Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (DICOM PS3.8 table 9-21)."""

    CALLING_AE_NOT_RECOGNISED = (1, 1, 3)
    CALLED_AE_NOT_RECOGNISED = (1, 1, 7)
    TEMPORARY_CONGESTION = (2, 3, 1)
    LOCAL_LIMIT_EXCEEDED = (2, 3, 2)


class Admission:
    """The rules of the configuration; keeps nothing between associations."""

    def __init__(self, config: Config) -> None:
        self._ae_title = config.node.ae_title
        self._check_called_ae = config.reception.check_called_ae
        self._max_associations = config.reception.max_associations
        self._senders = config.sender
        self._reporters = {peer.ae_title for peer in config.destination if isinstance(peer, Destination)}

    @property
    def is_open(self) -> bool:
        """Whether anyone may send because no sender is listed."""
        return not self._senders

    def may_report(self, calling_ae: str) -> bool:
        """Whether this is a destination, which reports on the storage commitment that the node asks it for."""
        return calling_ae.strip() in self._reporters

    def rejection(
        self,
        *,
        called_ae: str,
        calling_ae: str,
        address: str,
        others: int,
        draining: bool,
        may_only_report: bool = False,
    ) -> Rejection | None:
        """Why an association is rejected, or None.

        Parameters
        ----------
        address : the peer's, IPv4 or IPv6.
        others : associations that are open already.
        draining : the node is about to stop and finishes what it has.
        may_only_report : storage commitment and C-ECHO are all it asks for. A destination may do that without being
            listed as a sender: it reports on transactions that the node opened.
        """
        if self._check_called_ae and called_ae.strip() != self._ae_title:
            return Rejection.CALLED_AE_NOT_RECOGNISED
        reports = may_only_report and self.may_report(calling_ae)
        if self._senders and not reports and not is_listed(self._senders, calling_ae.strip(), address):
            return Rejection.CALLING_AE_NOT_RECOGNISED
        if draining:
            return Rejection.TEMPORARY_CONGESTION
        return Rejection.LOCAL_LIMIT_EXCEEDED if others >= self._max_associations else None


def is_listed(senders: Sequence[Sender], calling_ae: str, address: str) -> bool:
    """Whether one entry holds both for the AE title and for the address; an entry without host takes any address.

    >>> pacs = Sender(ae_title="PACS", host="10.1.2.0/24")
    >>> [is_listed([pacs], "PACS", a) for a in ("10.1.2.9", "::ffff:10.1.2.9", "10.1.3.9")]
    [True, True, False]
    """
    peer = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped  # how an IPv4 peer shows on a socket that serves both
    return any(
        sender.ae_title == calling_ae and (not sender.host or peer in ipaddress.ip_network(sender.host, strict=False))
        for sender in senders
    )

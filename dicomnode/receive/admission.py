"""Who may associate: called AE title, calling AE title together with its address, and how many at a time."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from dicomnode.config.destinations import Destination
from dicomnode.config.sections import Sender
from dicomnode.config.whole import Config
from dicomnode.dicom.uids import is_valid_uid
from dicomnode.receive.requests import APPLICATION_CONTEXT


class Rejection(Enum):
    """Why an association is rejected; the value begins with the reason that the log tells."""

    APPLICATION_CONTEXT_NOT_SUPPORTED = ("application_context_not_supported", 1, 1, 2)
    CALLING_AE_NOT_RECOGNISED = ("calling_ae_not_recognised", 1, 1, 3)
    CERTIFICATE_OF_ANOTHER = ("certificate_of_another", 1, 1, 3)
    CALLED_AE_NOT_RECOGNISED = ("called_ae_not_recognised", 1, 1, 7)
    TEMPORARY_CONGESTION = ("temporary_congestion", 2, 3, 1)
    LOCAL_LIMIT_EXCEEDED = ("local_limit_exceeded", 2, 3, 2)

    @property
    def reason(self) -> str:
        """What the log says."""
        return self.value[0]

    @property
    def of_pdu(self) -> tuple[int, int, int]:
        """Result, source and reason of the A-ASSOCIATE-RJ (DICOM PS3.8 table 9-21)."""
        return self.value[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requestor:
    """Who asks for an association, and for what.

    Attributes
    ----------
    called_ae, calling_ae : without padding.
    address : IPv4 or IPv6.
    names : that its certificate gives it, lower case; empty without TLS.
    application_context : as it was named; empty where none was.
    may_only_report : storage commitment and C-ECHO are all it asks for. A destination may do that without being listed
        as a sender: it reports on transactions that the node opened.
    may_only_echo : C-ECHO is all it asks for.
    own : associations that are open already under its AE title; None where nobody counted them.
    kept_free : places that are kept free for other senders.
    """

    called_ae: str
    calling_ae: str
    address: str
    names: frozenset[str] = frozenset()
    application_context: str = ""
    may_only_report: bool = False
    may_only_echo: bool = False
    own: int | None = None
    kept_free: int = 0


class Admission:
    """The rules of the configuration; keeps nothing between associations."""

    def __init__(self, config: Config) -> None:
        self._ae_title = config.node.ae_title
        self._check_called_ae = config.reception.check_called_ae
        self._max_associations = config.reception.max_associations
        self._max_per_ae = config.reception.max_associations_per_ae
        self._reserved = config.reception.reserved_associations
        self._senders = config.sender
        self._reporters = {peer.ae_title for peer in config.destination if isinstance(peer, Destination)}

    @property
    def is_open(self) -> bool:
        """Whether anyone may send because no sender is listed."""
        return not self._senders

    def kept_free(self, calling_ae: str, opened: Mapping[str, int]) -> int:
        """Places that nobody but others may take now.

        Parameters
        ----------
        opened : associations that are open already, by calling AE title.
        """
        others = {sender.ae_title for sender in self._senders if sender.places and sender.ae_title != calling_ae}
        return sum(max(0, self._places_of(title) - opened.get(title, 0)) for title in others)

    def _places_of(self, ae_title: str) -> int:
        """Of an AE title that is listed for several addresses the most counts."""
        return max(sender.places for sender in self._senders if sender.ae_title == ae_title)

    def may_report(self, calling_ae: str) -> bool:
        """Whether this is a destination, which reports on the storage commitment that the node asks it for."""
        return calling_ae in self._reporters

    def rejection(self, who: Requestor, *, others: int, draining: bool) -> Rejection | None:
        """Why an association is rejected, or None.

        Parameters
        ----------
        others : associations that are open already.
        draining : the node is about to stop and finishes what it has.
        """
        # What is no UID was written by mistake; a UID that is another one means another protocol.
        if is_valid_uid(who.application_context) and who.application_context != APPLICATION_CONTEXT:
            return Rejection.APPLICATION_CONTEXT_NOT_SUPPORTED
        if self._check_called_ae and who.called_ae != self._ae_title:
            return Rejection.CALLED_AE_NOT_RECOGNISED
        if shows_certificate_of_another(self._senders, who):
            return Rejection.CERTIFICATE_OF_ANOTHER
        reports = who.may_only_report and self.may_report(who.calling_ae)
        if self._senders and not reports and not is_listed(self._senders, who.calling_ae, who.address):
            return Rejection.CALLING_AE_NOT_RECOGNISED
        if draining:
            return Rejection.TEMPORARY_CONGESTION
        return None if self._has_place(who, others) else Rejection.LOCAL_LIMIT_EXCEEDED

    def _has_place(self, who: Requestor, others: int) -> bool:
        """Whether there is one; the reserved ones are for those of whom nobody is there, and for a C-ECHO."""
        if self._max_per_ae and who.own is not None and who.own >= self._max_per_ae:
            return False
        if others < self._max_associations - who.kept_free:
            return True
        return others < self._max_associations + self._reserved and (who.may_only_echo or who.own == 0)


def shows_certificate_of_another(senders: Sequence[Sender], who: Requestor) -> bool:
    """Whether the AE title and the certificate belong to different senders, or the title needs a certificate.

    >>> ct = Sender(ae_title="CT", certificate="ct.example")
    >>> senders = [ct, Sender(ae_title="PACS")]
    >>> def odd(title, *names):
    ...     asks = Requestor(called_ae="", calling_ae=title, address="10.0.0.1", names=frozenset(names))
    ...     return shows_certificate_of_another(senders, asks)
    >>> odd("CT", "ct.example"), odd("CT", "pacs.example"), odd("CT"), odd("PACS", "ct.example"), odd("PACS", "any")
    (False, True, True, True, False)
    """
    bound = {(sender.ae_title, sender.certificate.lower()) for sender in senders if sender.certificate}
    owners = {title for title, name in bound if name in who.names}
    return who.calling_ae not in owners and bool(owners or who.calling_ae in {title for title, _ in bound})


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

"""Associations that the node requests: time limits on every wait, and the reason in words where there is none.

Foreign errors end here: whatever pynetdicom or a peer does comes out as a :class:`DeliveryError`.
"""

from __future__ import annotations

import queue
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from dicomnode.config.destinations import Destination
from dicomnode.config.tls import client_context
from dicomnode.dicom.acknowledging import acknowledge_at_once
from dicomnode.dicom.libraries import set_up_pynetdicom
from dicomnode.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnode.errors import AssociationRejected, NotAdmitted


@dataclass(slots=True)
class _Connection:
    """Notes when the TCP connection came about and who turned it away, and bounds every wait on it."""

    timeout_s: float
    started: float = field(default_factory=time.monotonic)
    connected: float | None = None
    rejection: A_ASSOCIATE_RJ | None = None

    def on_open(self, event: evt.Event) -> None:
        self.connected = time.monotonic()
        # pynetdicom sends on a socket without a time limit: a peer that stops reading would hold the thread for ever.
        transport: Any = event.assoc.dul.socket
        transport.socket.settimeout(self.timeout_s)
        # A C-STORE is two writes, command and data: Nagle's algorithm would hold the second for 40 ms.
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def on_received(self, event: evt.Event) -> None:
        # pynetdicom's requestor loses a rejection that is there before it looks whether the connection came about.
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            self.rejection = event.pdu

    @staticmethod
    def on_sent(event: evt.Event) -> None:
        # Each sending ends the state in which the answer would be acknowledged at once.
        transport: Any = event.assoc.dul.socket
        acknowledge_at_once(None if transport is None else transport.socket)


class _Answers(queue.Queue[Any]):
    """Answers of the peer, and the word that the association is gone: for who waits for them alone.

    pynetdicom's reactor looks into this queue without waiting, and now and then while a request is under way (it is
    told to pause, and goes on for one more round); what it took was lost, and the request timed out.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not block:
            raise queue.Empty
        return super().get(block, timeout)


class _Transport(AssociationSocket):
    """Closes its socket also where it was never connected, instead of leaving that to the garbage collector."""

    def _shutdown_socket(self) -> None:
        unshut = self.socket
        super()._shutdown_socket()
        if unshut is not None:
            unshut.close()


class _Entity(AE):
    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: Any) -> AssociationSocket:
        assoc.dimse.msg_queue = _Answers()
        transport = _Transport(assoc, address=address)
        transport.tls_args = tls_args
        return transport


def request_association(
    destination: Destination,
    calling_ae: str,
    contexts: list[PresentationContext],
    handlers: Sequence[tuple[Any, Any]] = (),
    extended: Sequence[SOPClassExtendedNegotiation] = (),
) -> Association:
    """An established association, or one that was accepted without any presentation context.

    Parameters
    ----------
    handlers : (event, handler) pairs of pynetdicom, besides those that keep time.
    extended : what is proposed beyond the presentation contexts (PS3.7 D.3.3.5).

    Raises
    ------
    NotAdmitted : the peer rejects the association, or ends it while it is negotiated.
    AssociationRejected : no connection, or certificates that cannot be used, in words.
    """
    set_up_pynetdicom()
    connection = _Connection(destination.timeout_s)
    try:
        assoc = _entity(destination, calling_ae).associate(
            destination.host,
            destination.port,
            contexts=contexts,
            ae_title=destination.ae_title,
            ext_neg=list(extended),
            tls_args=_tls_of(destination),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, connection.on_open),
                (evt.EVT_PDU_RECV, connection.on_received),
                (evt.EVT_DATA_SENT, connection.on_sent),
                *handlers,
            ],
        )
    except Exception as fault:
        raise AssociationRejected(f"{_peer(destination)}: no association can be requested: {fault}") from fault
    if assoc.is_established or (assoc.rejected_contexts and not assoc.is_rejected):
        return assoc
    says = f"{_peer(destination)}: {_why_not(destination, calling_ae, connection)}"
    raise AssociationRejected(says) if connection.connected is None else NotAdmitted(says)


def _tls_of(destination: Destination) -> tuple[ssl.SSLContext, str] | None:
    # Made anew for each association: certificates are renewed while the node runs.
    context = client_context(destination.tls, destination.name)
    return None if context is None else (context, destination.tls.server_name or destination.host)


def _entity(destination: Destination, calling_ae: str) -> AE:
    entity = _Entity(calling_ae)
    entity.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.connection_timeout = destination.timeout_s
    entity.acse_timeout = destination.timeout_s
    entity.dimse_timeout = destination.timeout_s
    # Between two files the node writes to its database, which may have to wait; the peer has its own idle limit.
    entity.network_timeout = 4 * destination.timeout_s
    return entity


def _peer(destination: Destination) -> str:
    return f"{destination.ae_title} at {destination.host}:{destination.port}"


def _why_not(destination: Destination, calling_ae: str, connection: _Connection) -> str:
    if connection.connected is None:
        return _why_no_connection(destination, time.monotonic() - connection.started)
    if connection.rejection is not None:
        return _why_rejected(connection.rejection.to_primitive(), calling_ae)
    if time.monotonic() - connection.connected >= destination.timeout_s:
        return f"no answer to the association request within {destination.timeout_s:g} s"
    doubt = "does it want a client certificate?" if destination.tls.enabled else "is this a DICOM port?"
    return f"the connection was closed or aborted while the association was negotiated ({doubt})"


def _why_rejected(answer: Any, calling_ae: str) -> str:
    """The reason of a rejection in words, from the A-ASSOCIATE-RJ (DICOM PS3.8 9.3.4)."""
    reason = answer.reason_str
    if answer.result_source == 1 and answer.diagnostic == 3:
        reason = f"it does not know the calling AE title {calling_ae!r}; register this node there"
    elif answer.result_source == 1 and answer.diagnostic == 7:
        reason = "it does not answer to this called AE title; check ae_title of the destination"
    return f"the association was rejected ({answer.result_str.lower()}): {reason}"


def _why_no_connection(destination: Destination, waited_s: float) -> str:
    # pynetdicom keeps the operating system's reason to itself; asking again tells it, except after a time-out.
    if waited_s >= destination.timeout_s:
        return f"no connection within {destination.timeout_s:g} s"
    try:
        with socket.create_connection((destination.host, destination.port), timeout=destination.timeout_s) as plain:
            if tls := _tls_of(destination):
                tls[0].wrap_socket(plain, server_hostname=tls[1]).close()
    except ssl.SSLError as fault:
        return f"no TLS connection: {getattr(fault, 'verify_message', '') or fault.reason or fault}"
    except OSError as fault:
        return f"no connection: {fault.strerror or fault}"
    return "the connection failed, though the port is open now"


def end_association(assoc: Association) -> None:
    """Release it, where it is still there."""
    if assoc.is_established:
        assoc.release()


def accepted_syntaxes(assoc: Association) -> dict[str, tuple[str, ...]]:
    """SOP class UID -> transfer syntaxes that the peer accepted for it."""
    accepted: dict[str, tuple[str, ...]] = {}
    for context in assoc.accepted_contexts:
        sop_class = str(context.abstract_syntax)
        accepted[sop_class] = (*accepted.get(sop_class, ()), str(context.transfer_syntax[0]))
    return accepted

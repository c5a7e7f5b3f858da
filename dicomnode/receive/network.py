"""pynetdicom, made to receive onto the disk and to let go of sockets.

What it lacks, and is added here: data sets that go to the spool while they arrive (it keeps them in memory, or in the
system's temporary folder for all of the process), time limits on a blocked socket, an end of each association that
cannot be missed. Written against pynetdicom 3.0; tests/integration/receive/test_network.py holds it to that.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, cast

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, N_EVENT_REPORT_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA, SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.contexts import STORAGE_SERVICE, TRANSFER_SYNTAXES, UNCOMPRESSED, VERIFICATION, is_storage
from dicomnode.dicom.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from dicomnode.dicom.uids import MAX_UID_LENGTH, usable_uid
from dicomnode.environment import Fault, fault_of
from dicomnode.errors import ReceiveError
from dicomnode.receive.admission import Rejection
from dicomnode.receive.intake import Peer
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.receive.spool import IncomingFile, Spool

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 8_000_000
"""Of a data set that is no instance and stays in memory; a commitment of 50,000 instances has half as many."""

BACKLOG = 128
"""Connections that wait to be accepted; scanners open several at once."""


class SpooledDataSet(BytesIO):
    """The data set of one message, for pynetdicom a buffer; an instance's bytes go to the spool as they arrive.

    Attributes
    ----------
    incoming : the file; None before the first byte, and where nothing is kept.
    fault : why nothing is kept; the C-STORE response tells the sender.
    """

    def __init__(self, begin: Callable[[], tuple[Origin, IncomingFile] | None], is_report: Callable[[], bool]) -> None:
        super().__init__()
        self.origin: Origin | None = None
        self.incoming: IncomingFile | None = None
        self.fault: ReceiveError | None = None
        self._begin: Callable[[], tuple[Origin, IncomingFile] | None] | None = begin
        self._is_report = is_report
        self._in_memory = False

    def write(self, data: Any) -> int:
        """Append; never raises, because an error here would break off the whole association."""
        try:
            self._write(data)
        except ReceiveError as fault:
            self._drop(fault)
        except Exception as fault:  # noqa: BLE001 (part of the SCP handler, run by pynetdicom's network thread)
            log.error("data set not spooled", extra={"action": "spool", "error": type(fault).__name__})
            status = CANNOT_UNDERSTAND if fault_of(fault) is Fault.STAYS else OUT_OF_RESOURCES
            self._drop(ReceiveError(f"spool: {type(fault).__name__}", status))
        return len(data)

    def _write(self, data: bytes) -> None:
        if self._begin is not None:
            begin, self._begin = self._begin, None
            self.origin, self.incoming = begin() or (None, None)
            self._in_memory = self.incoming is None and self._is_report()
        if self.incoming is not None:
            self.incoming.write(data)
        elif self._in_memory and self.tell() + len(data) <= MAX_MESSAGE_BYTES:
            super().write(data)

    def _drop(self, fault: ReceiveError) -> None:
        self.fault = fault
        if self.incoming is not None:
            self.incoming.discard()
            self.incoming = None


class SpoolingProvider(DIMSEServiceProvider):
    """DIMSE provider of one association whose C-STORE data sets go to the spool.

    Attributes
    ----------
    peer : None until an association was requested.
    """

    def __init__(self, assoc: Association, spool: Spool) -> None:
        super().__init__(assoc)
        self.peer: Peer | None = None
        self._spool = spool
        self._files: list[IncomingFile] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a part of a message."""
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = SpooledDataSet(self._begin, self._is_report)
        super().receive_primitive(primitive)

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a message; the peer's time to be idle counts from now, not from before a slow disk."""
        super().send_msg(primitive, context_id)
        self.dul._idle_timer.restart()

    def discard_files(self) -> None:
        """Remove what the end of the association left half-written. Committed files are not touched."""
        for incoming in self._files:
            incoming.discard()
        self._files.clear()

    def forget(self, incoming: IncomingFile) -> None:
        """A file was committed or dropped."""
        self._files.remove(incoming)

    def _begin(self) -> tuple[Origin, IncomingFile] | None:
        """A temporary file for the message whose command has arrived; None where it is no C-STORE.

        Raises
        ------
        ReceiveError : 0xA700, there is no room.
        """
        message, peer = self.message, self.peer
        context = self.assoc._accepted_cx.get(cast(int, getattr(message, "context_id", None)))
        if not isinstance(message, C_STORE_RQ) or peer is None or context is None:
            return None
        if not is_storage(str(context.abstract_syntax)):
            return None
        origin = self._origin(message, context, peer)
        incoming = self._spool.open(preamble_of(origin))
        self._files.append(incoming)
        return origin, incoming

    def _is_report(self) -> bool:
        """Whether the message whose command has arrived is a commitment report; its data set is read, not kept."""
        return isinstance(self.message, N_EVENT_REPORT_RQ)

    def _origin(self, message: C_STORE_RQ, context: PresentationContext, peer: Peer) -> Origin:
        """What the C-STORE command says of its data set; where pynetdicom would break off for it, made usable."""
        command = message.command_set
        sop_class, sop_instance = _first(command, "AffectedSOPClassUID"), _first(command, "AffectedSOPInstanceUID")
        if sop_class not in self.assoc.acceptor.accepted_common_extended:
            sop_class = command.AffectedSOPClassUID = str(context.abstract_syntax)
        if not 0 < len(sop_instance) <= MAX_UID_LENGTH:
            command.AffectedSOPInstanceUID = usable_uid(sop_instance)
        return Origin(
            sop_class_uid=sop_class,
            sop_instance_uid=usable_uid(sop_instance),
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            calling_ae=peer.calling_ae,
            called_ae=peer.called_ae,
        )


def _first(command: Dataset, keyword: str) -> str:
    value = command.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return "" if value is None else str(value)


def contexts_for(proposed: Iterable[PresentationContext], *, may_report: bool = False) -> list[PresentationContext]:
    """The contexts to accept of those that a peer proposes, each SOP class once.

    Parameters
    ----------
    may_report : the peer is a destination, which may report on storage commitment. The node itself commits to nothing.
    """
    contexts = []
    for uid in dict.fromkeys(str(context.abstract_syntax) for context in proposed):
        if uid == STORAGE_COMMITMENT and may_report:
            context = build_context(uid, list(UNCOMPRESSED[:2]))
            # Whoever reports is the SCP of this class, though it requests the association (PS3.4 J.3.3).
            context.scu_role = context.scp_role = True
            contexts.append(context)
        elif uid == VERIFICATION:
            contexts.append(build_context(uid, list(UNCOMPRESSED)))
        elif is_storage(uid):
            contexts.append(build_context(uid, list(TRANSFER_SYNTAXES)))
    return contexts


def asks_only_for_commitment(proposed: Iterable[PresentationContext]) -> bool:
    """Whether a peer proposes storage commitment and, besides C-ECHO, nothing else."""
    asked = {str(context.abstract_syntax) for context in proposed}
    return STORAGE_COMMITMENT in asked and asked <= {STORAGE_COMMITMENT, VERIFICATION}


def storage_classes_of(proposed: Iterable[PresentationContext]) -> dict[UID, SOPClassCommonExtendedNegotiation]:
    """Tells pynetdicom that the proposed Storage SOP Classes are such, also those that it does not know.

    By the device that the standard has for it (Common Extended Negotiation, DICOM PS3.7 D.3.3.6), as if the peer had
    asked for it.
    """
    items = {}
    for uid in {str(context.abstract_syntax) for context in proposed}:
        if is_storage(uid):
            item = SOPClassCommonExtendedNegotiation()
            item.sop_class_uid, item.service_class_uid = UID(uid), UID(STORAGE_SERVICE)
            items[UID(uid)] = item
    return items


@dataclass(eq=False)
class Line:
    """One connection of the server, from accept to close.

    Attributes
    ----------
    is_admitted : it counts towards the limit of associations.
    overdue : how often the reaper found that it should be gone.
    """

    assoc: Association
    socket: socket.socket
    opened: float = field(default_factory=time.monotonic)
    is_admitted: bool = False
    overdue: int = 0

    def hang_up(self) -> None:
        """Wake whoever waits on the socket: to a peer that holds the line, nothing else helps."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class ReceptionServer(ThreadedAssociationServer):
    """Accepts connections; one thread stays with each until it has ended.

    Attributes
    ----------
    spool, idle_timeout_s, on_end : set before the server serves; ``on_end`` is called once for each connection, with
        its line, after the association has ended, however it did.
    """

    daemon_threads = True
    request_queue_size = BACKLOG

    spool: Spool
    idle_timeout_s: float
    on_end: Callable[[Line], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lock = threading.Lock()
        self.lines: dict[Association, Line] = {}
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """A connection; with TLS its handshake is left to its own thread, so that a silent peer holds up nobody."""
        connection, address = cast(socket.socket, self.socket).accept()
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def admit(self, assoc: Association, rejection: Callable[[int], Rejection | None]) -> Rejection | None:
        """Count an association in unless ``rejection``, given the number of others, speaks against it."""
        with self.lock:
            refused = rejection(sum(line.is_admitted for line in self.lines.values()))
            if refused is None:
                self.lines[assoc].is_admitted = True
            return refused

    def open_lines(self) -> list[Line]:
        """All connections at this moment."""
        with self.lock:
            return list(self.lines.values())


class ReceptionHandler(RequestHandler):
    """One connection, in a thread of its own that ends with it."""

    server: ReceptionServer

    def handle(self) -> None:
        """Run the association and clean up behind it."""
        connection = cast(socket.socket, self.request)
        # pynetdicom sets no limit on an accepted socket: half a PDU would block its thread for ever.
        connection.settimeout(self.server.idle_timeout_s)
        if not self._is_secured(connection):
            return
        assoc = self._create_association()
        assoc.dimse = SpoolingProvider(assoc, self.server.spool)
        line = Line(assoc, connection)
        with self.server.lock:
            self.server.lines[assoc] = line
        try:
            evt.trigger(assoc, evt.EVT_CONN_OPEN, {"address": self.client_address})
            assoc.start()
            assoc.join()
        finally:
            self._end(line)

    def _is_secured(self, connection: socket.socket) -> bool:
        """Do the TLS handshake, where the port speaks TLS; False: there is nobody to talk to."""
        if not isinstance(connection, ssl.SSLSocket):
            return True
        try:
            connection.do_handshake()
        except OSError as fault:
            reason = getattr(fault, "verify_message", "") or getattr(fault, "reason", "") or type(fault).__name__
            log.warning("TLS refused", extra={"peer": self.client_address[0], "reason": reason})
            connection.close()
            return False
        return True

    def _end(self, line: Line) -> None:
        line.hang_up()
        # pynetdicom leaves the descriptor open where the peer was the first to close.
        line.socket.close()
        if line.assoc.dul.is_alive():
            line.assoc.dul.join(self.server.idle_timeout_s)
        cast(SpoolingProvider, line.assoc.dimse).discard_files()
        line.is_admitted = False
        try:
            self.server.on_end(line)
        finally:
            with self.server.lock:
                del self.server.lines[line.assoc]

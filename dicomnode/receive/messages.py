"""The messages of one association: data sets of instances go to the spool while they arrive, nothing grows without end.

pynetdicom keeps data sets in memory, or in the system's temporary folder for all of the process, and command sets of
any length. Written against pynetdicom 3.0; tests/integration/receive/test_network.py holds it to that.
"""

from __future__ import annotations

import time
from typing import Any, cast

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, N_EVENT_REPORT_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext

from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.contexts import is_storage
from dicomnode.dicom.uids import MAX_UID_LENGTH, is_valid_uid, usable_uid
from dicomnode.receive.data_sets import SpooledDataSet
from dicomnode.receive.intake import Peer
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.receive.services import foreign_request
from dicomnode.receive.spool import IncomingFile, Spool
from dicomnode.receive.upper_layer import BrokenProtocol

MAX_COMMAND_BYTES = 16_384
"""Of one command set; those of a Storage SCP have a few hundred."""
MAX_UNANSWERED = 8
"""Messages that wait for their answer; there may be one where no asynchronous window was negotiated (PS3.7 D.3.3.3)."""

_COMMAND = 1
"""Bit of the message control header: a command fragment (PS3.8 annex E.2)."""
_LAST = 2
"""The other bit: the last fragment."""
_LOOK_S = 0.005


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
        self._command_bytes = 0
        self._reports_underway = 0

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one PDU, each by itself: pynetdicom drops those behind the end of a message.

        Raises
        ------
        BrokenProtocol : the command set has no end, fragments of several messages are mixed, or messages come without
            waiting for any answer.
        """
        for value in primitive.presentation_data_value_list:
            fragment = P_DATA()
            fragment.presentation_data_value_list.append(value)
            self._take(fragment, *value)

    def _take(self, fragment: P_DATA, context_id: int, data: bytes) -> None:
        self._require_room()
        message = self.message
        if message is None:
            self._command_bytes = 0
            message = self.message = DIMSEMessage()
            message.data_set = SpooledDataSet(self._begin, self._is_report)
        self._require_order(message, context_id, data)
        super().receive_primitive(fragment)
        # Complete, it is forgotten; by then it knows of what class it is.
        if self.message is not message and isinstance(message, N_EVENT_REPORT_RQ):
            self._reports_underway += 1

    def _require_order(self, message: DIMSEMessage, context_id: int, data: bytes) -> None:
        """A command set, then its data set, in one presentation context (DICOM PS3.7 6.3.1, PS3.8 annex E).

        pynetdicom reads a command in the middle of a data set as that of the whole: two images would become one file,
        and Success would be said of the one that is not there.
        """
        is_command, has_command = bool(data and data[0] & _COMMAND), message.context_id is not None
        if not data or is_command == has_command:
            raise BrokenProtocol("fragments of several messages mixed")
        if has_command and context_id != message.context_id:
            raise BrokenProtocol("a data set in another context than its command")
        self._command_bytes += len(data) * is_command
        if self._command_bytes > MAX_COMMAND_BYTES:
            raise BrokenProtocol("a command set without end")
        if is_command and data[0] & _LAST:
            self._require_service(message.encoded_command_set.getvalue() + data[1:], context_id)

    def _require_service(self, command: bytes, context_id: int) -> None:
        """A request that belongs into its presentation context: another one would hear nothing, or the wrong answer."""
        context = self._accepted(context_id)
        field = None if context is None else foreign_request(command, str(context.abstract_syntax))
        if field is not None:
            raise BrokenProtocol(f"a request 0x{field:04X} in a context for another service")

    def report_is_done(self) -> None:
        """A report was answered; pynetdicom has each answered by a thread of its own."""
        self._reports_underway -= 1

    def _require_room(self) -> None:
        """Let a peer wait that sends on without having heard an answer: what it sent before holds memory and files.

        Raises
        ------
        BrokenProtocol : nothing was answered for as long as a peer may be idle.
        """
        deadline = time.monotonic() + (self.assoc.network_timeout or 0)
        while self.msg_queue.qsize() >= MAX_UNANSWERED or self._reports_underway >= MAX_UNANSWERED:
            if time.monotonic() > deadline or self.assoc._kill:
                raise BrokenProtocol("messages without waiting for answers")
            time.sleep(_LOOK_S)

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
        """A file was committed, or what there is of it goes: whoever took it may have failed at any place."""
        incoming.discard()
        if incoming in self._files:
            self._files.remove(incoming)

    def _begin(self) -> tuple[Origin, IncomingFile] | None:
        """A temporary file for the message whose command has arrived; None where it is no C-STORE.

        Raises
        ------
        ReceiveError : 0xA700, there is no room.
        """
        message, peer = self.message, self.peer
        context = self._context_of(message)
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
        context = self._context_of(self.message)
        is_commitment = context is not None and str(context.abstract_syntax) == STORAGE_COMMITMENT
        return is_commitment and isinstance(self.message, N_EVENT_REPORT_RQ)

    def _context_of(self, message: DIMSEMessage | None) -> PresentationContext | None:
        return self._accepted(cast(int, getattr(message, "context_id", None)))

    def _accepted(self, context_id: int) -> PresentationContext | None:
        return self.assoc._accepted_cx.get(context_id)

    def _origin(self, message: C_STORE_RQ, context: PresentationContext, peer: Peer) -> Origin:
        """What the C-STORE command says of its data set; where pynetdicom would break off for it, made usable."""
        command, negotiated = message.command_set, str(context.abstract_syntax)
        sop_class, sop_instance = _first(command, "AffectedSOPClassUID"), _first(command, "AffectedSOPInstanceUID")
        if sop_class not in self.assoc.acceptor.accepted_common_extended:
            command.AffectedSOPClassUID = negotiated
        if not 0 < len(sop_instance) <= MAX_UID_LENGTH:
            command.AffectedSOPInstanceUID = usable_uid(sop_instance)
        return Origin(
            sop_class_uid=sop_class if is_valid_uid(sop_class) else negotiated,
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

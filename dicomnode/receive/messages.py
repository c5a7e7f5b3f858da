"""The messages of one association: fragments in, whole messages out; nothing grows without end (DICOM PS3.7 6.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dicomnode.dicom.uids import is_valid_uid, usable_uid
from dicomnode.receive.commands import MAX_COMMAND_BYTES, Command, Field
from dicomnode.receive.data_sets import DataSet, DroppedDataSet, KeptDataSet, SpooledDataSet
from dicomnode.receive.intake import Peer
from dicomnode.receive.negotiation import Context
from dicomnode.receive.part10 import Origin
from dicomnode.receive.pdus import COMMAND, LAST, BrokenProtocol
from dicomnode.receive.services import is_foreign_request
from dicomnode.receive.spool import Spool


@dataclass(slots=True)
class Message:
    """One message; whole once the last fragment of its command, and of its data set if it has one, has come."""

    context: Context
    command: Command
    data_set: DataSet | None


class Messages:
    """Puts together what comes in one association.

    Parameters
    ----------
    reserve : is asked for room for bytes that are kept.

    Attributes
    ----------
    is_within : in the middle of a message.
    """

    def __init__(self, contexts: dict[int, Context], peer: Peer, spool: Spool, reserve: Callable[[int], None]) -> None:
        self._contexts = contexts
        self._peer = peer
        self._spool = spool
        self._reserve = reserve
        self._command = bytearray()
        self._context: Context | None = None
        self._message: Message | None = None
        self._within_value = False

    @property
    def is_within(self) -> bool:
        """Whether a message has begun that is not whole."""
        return self._context is not None

    def take(self, context_id: int, control: int, part: memoryview, *, is_end: bool) -> Message | None:
        """Take a part of a fragment; the message that is whole with it.

        Raises
        ------
        BrokenProtocol : the command set has no end or no sense, or fragments of several messages are mixed.
        """
        if not self._within_value:
            self._require_order(context_id, control)
        self._within_value = not is_end
        if control & COMMAND:
            self._take_command(part)
        elif self._message is not None and self._message.data_set is not None:
            self._message.data_set.write(part)
        return self._ended(control) if is_end and control & LAST else None

    def discard(self) -> None:
        """Forget what the end of the association left unfinished."""
        if self._message is not None and self._message.data_set is not None:
            self._message.data_set.discard()
        self._context = self._message = None

    def _require_order(self, context_id: int, control: int) -> None:
        """A command set, then its data set, in one presentation context (DICOM PS3.7 6.3.1, PS3.8 annex E).

        A command in the middle of a data set is no part of it: two images would become one file, and Success would be
        said of the one that is not there.
        """
        if bool(control & COMMAND) == (self._message is not None):
            raise BrokenProtocol("fragments of several messages mixed")
        if self._context is not None and context_id != self._context.context_id:
            raise BrokenProtocol("a data set in another context than its command")
        if context_id not in self._contexts:
            raise BrokenProtocol("a context that was not accepted")
        self._context = self._contexts[context_id]

    def _take_command(self, part: memoryview) -> None:
        if len(self._command) + len(part) > MAX_COMMAND_BYTES:
            raise BrokenProtocol("a command set without end")
        self._command += part

    def _ended(self, control: int) -> Message | None:
        if control & COMMAND:
            self._begin()
        message = self._message
        if message is None or (control & COMMAND and message.data_set is not None):
            return None
        self._context = self._message = None
        return message

    def _begin(self) -> None:
        """The command set is whole."""
        assert self._context is not None
        command = Command.of(bytes(self._command))
        self._command.clear()
        if is_foreign_request(command, self._context.abstract_syntax):
            raise BrokenProtocol(f"a request 0x{command.field:04X} in a context for another service")
        data_set = self._data_set_of(command, self._context) if command.has_data_set else None
        self._message = Message(self._context, command, data_set)

    def _data_set_of(self, command: Command, context: Context) -> DataSet:
        if command.field == Field.C_STORE:
            return SpooledDataSet(self._spool, self._origin(command, context))
        return KeptDataSet(self._reserve) if command.field == Field.N_EVENT_REPORT else DroppedDataSet()

    def _origin(self, command: Command, context: Context) -> Origin:
        """What the C-STORE command says of its data set; what could serve as no name made usable."""
        sop_class = command.sop_class
        return Origin(
            sop_class_uid=sop_class if is_valid_uid(sop_class) else context.abstract_syntax,
            sop_instance_uid=usable_uid(command.sop_instance),
            transfer_syntax_uid=context.transfer_syntax,
            calling_ae=self._peer.calling_ae,
            called_ae=self._peer.called_ae,
        )

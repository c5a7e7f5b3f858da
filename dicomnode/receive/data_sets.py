"""A data set while it arrives: an instance goes to the spool, a report stays in memory, no other is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from io import BytesIO
from typing import Any

from dicomnode.dicom.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from dicomnode.environment import Fault, fault_of
from dicomnode.errors import ReceiveError
from dicomnode.receive.part10 import Origin
from dicomnode.receive.spool import IncomingFile

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 8_000_000
"""Of a data set that is no instance and stays in memory; a commitment of 50,000 instances has half as many."""


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

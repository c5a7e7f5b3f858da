"""A data set while it arrives: an instance goes to the spool, a report stays in memory, no other is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from dicomnode.dicom.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from dicomnode.environment import Fault, fault_of
from dicomnode.errors import ReceiveError
from dicomnode.receive.part10 import Origin, preamble_of
from dicomnode.receive.spool import IncomingFile, Spool

log = logging.getLogger(__name__)

MAX_REPORT_BYTES = 8_000_000
"""Of a data set that stays in memory; a commitment of 50,000 instances has half as many."""


class DataSet(Protocol):
    """Where the bytes of one data set go."""

    def write(self, part: memoryview) -> None:
        """Take a part."""

    def discard(self) -> None:
        """Forget what came."""


class SpooledDataSet:
    """The data set of an instance; its bytes go to the spool as they arrive, from the first one on.

    Attributes
    ----------
    incoming : the file; None before the first byte, and where nothing is kept.
    fault : why nothing is kept; the C-STORE response tells the sender.
    """

    def __init__(self, spool: Spool, origin: Origin) -> None:
        self.origin = origin
        self.incoming: IncomingFile | None = None
        self.fault: ReceiveError | None = None
        self._spool = spool
        self._size_bytes = 0

    def write(self, part: memoryview) -> None:
        """Append; never raises, because a fault of the disk must not break off the association."""
        if self.fault is not None:
            return
        self._size_bytes += len(part)
        try:
            self._require_size()
            if self.incoming is None:
                self.incoming = self._spool.open(preamble_of(self.origin))
            self.incoming.write(part)
        except ReceiveError as fault:
            self._drop(fault)
        except Exception as fault:  # noqa: BLE001 (the boundary; whatever it is costs this instance alone)
            log.error("data set not spooled", extra={"action": "spool", "error": type(fault).__name__})
            status = CANNOT_UNDERSTAND if fault_of(fault) is Fault.STAYS else OUT_OF_RESOURCES
            self._drop(ReceiveError(f"spool: {type(fault).__name__}", status))

    def _require_size(self) -> None:
        bound = self._spool.max_instance_bytes
        if bound and self._size_bytes > bound:
            # Not 0xA700: sent again it would be as large.
            raise ReceiveError(f"larger than {bound} bytes; see reception.max_instance_gb", CANNOT_UNDERSTAND)

    def discard(self) -> None:
        """Remove what there is of a file that was not committed."""
        if self.incoming is not None:
            self.incoming.discard()
            self.incoming = None

    def _drop(self, fault: ReceiveError) -> None:
        self.fault = fault
        self.discard()


class KeptDataSet:
    """The data set of a report, in memory.

    Parameters
    ----------
    reserve : is asked for room, and told of what is given back.
    """

    def __init__(self, reserve: Callable[[int], None]) -> None:
        self.content = bytearray()
        self._reserve = reserve

    def write(self, part: memoryview) -> None:
        """Append; beyond what a report may have nothing is kept.

        Raises
        ------
        BrokenProtocol : the node has no room for it now.
        """
        if len(self.content) + len(part) <= MAX_REPORT_BYTES:
            self._reserve(len(part))
            self.content += part

    def discard(self) -> None:
        """Give its room back."""
        self._reserve(-len(self.content))
        self.content = bytearray()


class DroppedDataSet:
    """The data set of a message that nobody asked for."""

    def write(self, part: memoryview) -> None:
        """Nothing is kept."""

    def discard(self) -> None:
        """Nothing is there."""

"""Headers of arrivals, read by a process of its own while their bytes go to the disk.

What a peer sends is parsed where it neither holds up nor ends the process that receives. A process that dies or hangs
costs some time: what it had not answered another is asked. It answers in the order in which it is asked, so that the
file at which it ended is known.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

from dicomnode.dicom.statuses import OUT_OF_RESOURCES
from dicomnode.errors import EnvironmentFault, NodeError, ReceiveError, Refusal, RunTimedOut, WorkerCrashed
from dicomnode.receive.header_process import HeaderProcess, NotRead
from dicomnode.receive.intake import Arrival
from dicomnode.receive.reading import Reading

log = logging.getLogger(__name__)

MOST_ENDED = 2
"""Processes that may end at one file; then only what stands in front of its header is read, by a third."""


class HeaderReader:
    """Is asked by any thread; one thread collects the answers.

    Attributes
    ----------
    process : which reads.
    """

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self.process = HeaderProcess(self._stopping.is_set)
        self._asked: deque[Arrival] = deque()
        self._asking = threading.Lock()

    def start(self) -> None:
        """Begin to start the process.

        Raises
        ------
        OSError : there may be no more processes.
        """
        self.process.launch()

    def hurry(self) -> None:
        """The node stops: an answer that does not come at once is not waited for."""
        self._stopping.set()

    def stop(self) -> None:
        """End the process."""
        self.process.end()

    def ask(self, arrival: Arrival) -> None:
        """Have the header of an arrival read, without waiting; :meth:`collect` asks again where it could not be asked.

        Its bytes are with the operating system then. Never raises.
        """
        try:
            arrival.incoming.flush()
            with self._asking:
                self._send(arrival)
        except (NodeError, ValueError) as fault:
            arrival.reading = fault

    def collect(self, arrivals: Sequence[Arrival]) -> None:
        """Wait until each arrival has its ``reading``. Never raises."""
        try:
            while left := [arrival for arrival in arrivals if arrival.reading is None]:
                self._ask_for(left)
                self._receive()
        except EnvironmentFault as fault:
            self._give_up(arrivals, ReceiveError(str(fault), OUT_OF_RESOURCES))
        except Exception as fault:  # noqa: BLE001 (the thread that all wait for must not die of it)
            log.error("headers not read", extra={"error": type(fault).__name__})
            self._give_up(arrivals, fault)

    def _send(self, arrival: Arrival) -> None:
        # First: the answer may come before this thread goes on.
        self._asked.append(arrival)
        is_asked = False
        try:
            is_asked = self.process.send(arrival.incoming.path, only_leading=arrival.ended >= MOST_ENDED)
        finally:
            if not is_asked:
                self._asked.pop()

    def _ask_for(self, left: Sequence[Arrival]) -> None:
        """Ask for those that are not asked for: no process was there, or it had no room for the question."""
        unasked = [arrival for arrival in left if arrival not in self._asked]
        if not unasked:
            return
        with self._asking:
            if self.process.pid is None:
                self._launch()
            for arrival in unasked:
                self._send(arrival)

    def _receive(self) -> None:
        try:
            answer = self.process.receive()
        except (WorkerCrashed, RunTimedOut) as fault:
            with self._asking:
                self._start_again(fault)
        else:
            self._asked.popleft().reading = _taken(answer)

    def _start_again(self, fault: WorkerCrashed | RunTimedOut) -> None:
        """What had no answer is asked again, of another process; not for ever the file at which it ended."""
        log.error("the process that reads headers has ended", extra={"action": "read", "error": str(fault)})
        if self._asked:
            self._blame(self._asked[0], fault)
        self._asked.clear()
        self._launch()

    def _launch(self) -> None:
        if self._stopping.is_set():
            raise EnvironmentFault("the node stops")
        self.process.launch()

    def _give_up(self, arrivals: Sequence[Arrival], fault: Exception) -> None:
        """There is no process now: whoever waits for it tries again later."""
        with self._asking:
            self.process.end()
            for arrival in (*arrivals, *self._asked):
                arrival.reading = arrival.reading or fault
            self._asked.clear()

    def _blame(self, arrival: Arrival, fault: WorkerCrashed | RunTimedOut) -> None:
        arrival.ended += 1
        if arrival.ended < MOST_ENDED:
            return
        if isinstance(fault, RunTimedOut):
            # What takes its time to compute dies of that; what only hangs says nothing of the file.
            arrival.reading = ReceiveError(str(fault), OUT_OF_RESOURCES)
        elif arrival.ended == MOST_ENDED:
            facts = {"action": "read", "refusal": Refusal.UNREADABLE, "detail": str(fault)}
            log.warning("instance is not read", extra=facts)
        else:
            arrival.reading = Reading(refusal=Refusal.UNREADABLE)


def _taken(answer: Reading | NotRead) -> Reading | ReceiveError:
    return ReceiveError(f"spool: {answer.said}", OUT_OF_RESOURCES) if isinstance(answer, NotRead) else answer

"""Headers of arrivals, read by a process of its own, as many at a time as have come while it was busy.

What a peer sends is parsed where it neither holds up nor ends the process that receives. A process that dies or hangs
costs some time: what it was asked another is asked, each file alone.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from dicomnode.dicom.statuses import OUT_OF_RESOURCES
from dicomnode.errors import EnvironmentFault, ReceiveError, Refusal, RunTimedOut, WorkerCrashed
from dicomnode.receive.describing import NotRead, ToDescribe, describe
from dicomnode.receive.header_process import HeaderProcess
from dicomnode.receive.intake import Arrival
from dicomnode.receive.reading import Reading
from dicomnode.receive.together import Waiting, taken_together
from dicomnode.records import ReceivedInstance

log = logging.getLogger(__name__)

MOST_TOGETHER = 64
"""Files of one question."""


class HeaderReader:
    """Takes arrivals from any thread.

    Attributes
    ----------
    process : which reads; of this object's own thread.
    """

    def __init__(self) -> None:
        self._waiting: Waiting[tuple[Arrival, Future[None]]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self.process = HeaderProcess(self._stopping.is_set)
        self._thread = threading.Thread(target=self._run, name="scp-headers", daemon=True)

    def start(self) -> None:
        """Begin to start the process, and to read.

        Raises
        ------
        OSError : there may be no more processes.
        """
        self.process.launch()
        self._thread.start()

    def hurry(self) -> None:
        """The node stops: an answer that does not come at once is not waited for."""
        self._stopping.set()

    def stop(self) -> None:
        """Read what has been submitted, then end."""
        self.hurry()
        self._waiting.put(None)
        self._thread.join()
        self.process.end()

    def submit(self, arrival: Arrival) -> Future[None]:
        """Have the header of an arrival read; done once its ``described`` is set."""
        done: Future[None] = Future()
        self._waiting.put((arrival, done))
        return done

    def _run(self) -> None:
        goes_on, first = True, self._waiting.get()
        while goes_on and first is not None:
            group, goes_on = taken_together(self._waiting, first, MOST_TOGETHER)
            self._read([arrival for arrival, _ in group])
            for _, done in group:
                done.set_result(None)
            first = self._waiting.get() if goes_on else None

    def _read(self, arrivals: Sequence[Arrival]) -> None:
        files: dict[Arrival, ToDescribe] = {}
        for arrival in arrivals:
            try:
                files[arrival] = _to_describe(arrival)
            except ReceiveError as fault:
                arrival.described = fault
        try:
            for arrival, described in zip(files, self._described(list(files.values())), strict=True):
                arrival.described = described
        except Exception as fault:  # noqa: BLE001 (the thread that all wait for must not die of it)
            log.error("headers not read", extra={"error": type(fault).__name__})
            for arrival in files:
                arrival.described = fault

    def _described(self, files: Sequence[ToDescribe]) -> list[ReceivedInstance | ReceiveError]:
        try:
            return [_taken(described) for described in self.process.ask(files)]
        except EnvironmentFault as fault:
            return [_refused(fault)] * len(files)
        except (WorkerCrashed, RunTimedOut) as fault:
            if self._stopping.is_set():
                return [_refused(fault)] * len(files)
            log.error("the process that reads headers is started again", extra={"action": "read", "error": str(fault)})
            return [self._described_alone(one) for one in files]

    def _described_alone(self, one: ToDescribe) -> ReceivedInstance | ReceiveError:
        """What another process makes of a file at which, or beside which, one has ended."""
        try:
            return _taken(*self.process.ask([one]))
        except (EnvironmentFault, RunTimedOut) as fault:
            return _refused(fault)  # a header that takes long ends by its processor time: this says nothing of the file
        except WorkerCrashed as fault:
            facts = {"action": "read", "refusal": Refusal.UNREADABLE, "detail": str(fault)}
            log.warning("instance is not read", extra=facts)
            return self._leading(one)

    def _leading(self, one: ToDescribe) -> ReceivedInstance | ReceiveError:
        """Kept as bytes, below the study that its first elements name."""
        try:
            return _taken(*self.process.ask([replace(one, only_leading=True)]))
        except EnvironmentFault as fault:
            return _refused(fault)
        except (WorkerCrashed, RunTimedOut):
            reading = Reading(refusal=Refusal.UNREADABLE)
            return describe(reading, one.origin, digest=one.digest, size_bytes=one.size_bytes)


def _to_describe(arrival: Arrival) -> ToDescribe:
    incoming = arrival.incoming
    incoming.flush()
    return ToDescribe(str(incoming.path), arrival.origin, incoming.digest, incoming.size_bytes)


def _taken(described: ReceivedInstance | NotRead) -> ReceivedInstance | ReceiveError:
    return ReceiveError(f"spool: {described.said}", OUT_OF_RESOURCES) if isinstance(described, NotRead) else described


def _refused(fault: Exception) -> ReceiveError:
    return ReceiveError(str(fault), OUT_OF_RESOURCES)

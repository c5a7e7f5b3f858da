"""The further receivers of a node, each a process that listens on the port of the first: kept alive, told, stopped.

They share the port, the database, the spool and :class:`~dicomnode.receive.places.Places`, and nothing else. The system
deals out connections to those that listen: where one dies, the others take them until it is back.
"""

from __future__ import annotations

import logging
import threading

from dicomnode.app.receiver_program import Seat, Stop, Wanted
from dicomnode.config.whole import Config
from dicomnode.errors import InferenceError
from dicomnode.execute.child import ChildProcess
from dicomnode.receive.places import Places

log = logging.getLogger(__name__)

PROGRAM = "dicomnode.app.receiver_program"
POLL_S = 0.2
START_S = 60.0
RETRY_MIN_S, RETRY_MAX_S = 1.0, 30.0
END_S = 15.0
"""What a receiver may take to end, beyond the time that its peers have."""


class Receivers:
    """All but the first.

    Parameters
    ----------
    owner : names the node in the database.
    places : of the first receiver.
    """

    def __init__(self, config: Config, owner: str, places: Places) -> None:
        self.config, self.owner, self.places = config, owner, places
        self.draining = False
        self.stopping = threading.Event()
        self.drain_s = 0.0
        self._each = [_Receiver(self, places.seen_by(number)) for number in range(1, places.receivers)]

    @property
    def associations(self) -> int:
        """How many are open at these receivers now."""
        return self.places.elsewhere().total()

    @property
    def listening(self) -> int:
        """How many of these receivers can be connected to now."""
        return sum(receiver.is_listening for receiver in self._each)

    def start(self, port: int) -> None:
        """Begin to start them: they listen on ``port`` within seconds, and are started again where they die."""
        for receiver in self._each:
            receiver.start(port)

    def reload(self, config: Config) -> None:
        """Have them go by another configuration."""
        self.config = config

    def refuse_new(self) -> None:
        """Reject new associations for now (transient); the open ones go on."""
        self.draining = True

    def request_stop(self, drain_s: float) -> None:
        """Begin to stop; who is associated may finish for ``drain_s``."""
        self.drain_s = drain_s
        self.stopping.set()

    def join(self) -> None:
        """Wait until they have ended."""
        for receiver in self._each:
            receiver.join()


class _Stopping(Exception):
    """The node stops while a receiver starts."""


class _Receiver:
    """One process and the thread that looks after it."""

    def __init__(self, all_of_them: Receivers, places: Places) -> None:
        self._all, self._places = all_of_them, places
        self._port = 0
        self.is_listening = False
        self._thread = threading.Thread(target=self._run, name=f"receiver {places.number}", daemon=True)

    def start(self, port: int) -> None:
        self._port = port
        self._thread.start()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause_s = RETRY_MIN_S
        while not self._all.stopping.is_set():
            wanted = Wanted(self._all.config, draining=False)
            child = self._child(wanted.config)
            try:
                child.start(self._go_on)
            except _Stopping:
                return
            except InferenceError as fault:
                log.error("receiver not started", extra={**self._facts, "error": str(fault), "retry_s": pause_s})
                self._all.stopping.wait(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
                continue
            pause_s, self.is_listening = RETRY_MIN_S, True
            self._look_after(child, wanted)
            self.is_listening = False

    def _go_on(self) -> None:
        """Called while a process starts: a node that stops does not wait for it."""
        if self._all.stopping.is_set():
            raise _Stopping

    @property
    def _facts(self) -> dict[str, object]:
        return {"action": "receive", "receiver": self._places.number}

    def _child(self, config: Config) -> ChildProcess:
        node = config.node.model_copy(update={"port": self._port})
        seat = Seat(config.model_copy(update={"node": node}), self._all.owner, self._places)
        return ChildProcess(PROGRAM, seat, start_timeout_s=START_S)

    def _look_after(self, child: ChildProcess, told: Wanted) -> None:
        """Tell it what changes, until it is to stop or has died."""
        while child.is_running and not self._all.stopping.wait(POLL_S):
            wanted = Wanted(self._all.config, self._all.draining)
            if wanted.config is not told.config or wanted.draining != told.draining:
                child.tell(wanted)
                told = wanted
        if self._all.stopping.is_set():
            child.tell(Stop(self._all.drain_s))
            child.join(self._all.drain_s + END_S)
        else:
            log.error("a receiver died and is started again", extra=self._facts)
        child.kill()
        self._places.publish([])

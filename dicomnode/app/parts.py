"""The parts of a node that work and send: each in a thread, made anew where a configuration changes what it goes by.

A part that is replaced finishes what it has at hand; its successor waits for that, so that no two do the same.
"""

from __future__ import annotations

import glob
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dicomnode.config.destinations import AnyDestination
from dicomnode.config.whole import Config
from dicomnode.deliver.ahead import protocols_to
from dicomnode.deliver.sender import Sender
from dicomnode.execute.dispatcher import Dispatcher
from dicomnode.ops.state import BreakerState
from dicomnode.store.engine import Store

log = logging.getLogger(__name__)

JOIN_S = 20.0
POLL_S = 0.5
_WORK = ("node", "destination", "protocol", "execution", "zoo", "clinical")
"""Sections that a dispatcher goes by."""


class Part(Protocol):
    """Something that runs until it is told to stop, or to retire."""

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, or the part is retired."""

    def retire(self) -> None:
        """Finish what is at hand, and no more."""


@dataclass(frozen=True, slots=True)
class Running:
    """A part and its thread."""

    part: Part
    thread: threading.Thread


@dataclass(frozen=True, slots=True)
class Renewal:
    """Parts that were made for another configuration and do not run yet; None: those that run stay."""

    config: Config
    dispatchers: Sequence[Dispatcher] | None
    senders: Sequence[Sender]


class Parts:
    """The dispatchers and the senders of a node.

    Parameters
    ----------
    works, delivers : what its role does.
    owner : names this node in leases.
    before_step : see :class:`~dicomnode.deliver.sender.Sender`.
    stop : ends them all.
    died : is called where a part died.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        *,
        works: bool,
        delivers: bool,
        before_step: Callable[[], object],
        stop: threading.Event,
        died: Callable[[], object],
    ) -> None:
        self._store, self._owner, self._works, self._delivers = store, owner, works, delivers
        self._before_step, self._stop, self._died = before_step, stop, died
        self._config: Config | None = None
        self._dispatchers: list[Running] = []
        self._senders: dict[str, Running] = {}
        self._retired: list[Running] = []

    @property
    def is_working(self) -> bool:
        """Whether a worker has its models loaded, one that retires included."""
        return any(one.is_working for one in self._all_dispatchers())

    @property
    def worker_fault(self) -> str:
        """Why no worker can start; empty while one can."""
        return next((one.fault for one in self._all_dispatchers() if one.fault), "")

    @property
    def breakers(self) -> tuple[BreakerState, ...]:
        """Of each destination."""
        senders = [one.part for one in list(self._senders.values()) if isinstance(one.part, Sender)]
        return tuple(BreakerState(one.destination.name, one.breaker.is_open, one.breaker.failures) for one in senders)

    @property
    def destinations(self) -> list[str]:
        """Those that are sent to."""
        return list(self._senders)

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way."""
        return any(one.is_busy for one in self._all_dispatchers())

    def take_no_jobs(self) -> None:
        """End the job at hand, and begin no other."""
        for dispatcher in self._all_dispatchers():
            dispatcher.takes_jobs = False

    def _all_dispatchers(self) -> list[Dispatcher]:
        every = [*self._dispatchers, *self._retired]
        return [one.part for one in every if isinstance(one.part, Dispatcher) and one.thread.is_alive()]

    def renewed(self, config: Config) -> Renewal:
        """Make what a configuration asks for and what runs is not; nothing is started.

        Raises
        ------
        ConfigError : a model, a device or a destination cannot be used.
        """
        before = self._config
        is_new = before is None or any(getattr(before, name) != getattr(config, name) for name in _WORK)
        dispatchers = self._new_dispatchers(config) if self._works and is_new else None
        return Renewal(config, dispatchers, self._new_senders(config))

    def _new_dispatchers(self, config: Config) -> list[Dispatcher]:
        return [Dispatcher(config, self._store, owner=self._owner, device=device) for device in devices_of(config)]

    def _new_senders(self, config: Config) -> list[Sender]:
        if not self._delivers:
            return []
        return [
            Sender(config, self._store, config.node.data_dir, self._owner, one, before_step=self._before_step)
            for one in config.destination
            if not self._is_same(one, config)
        ]

    def _is_same(self, destination: AnyDestination, config: Config) -> bool:
        """Whether the sender to a destination may stay as it is."""
        before = self._config
        if before is None or before.node != config.node or destination not in before.destination:
            return False
        return protocols_to(before, destination) == protocols_to(config, destination)

    def take_over(self, renewal: Renewal) -> None:
        """Start what is new, each once its predecessor has finished; end what is not named any more."""
        self._retired = [one for one in self._retired if one.thread.is_alive()]
        self._config = renewal.config
        if renewal.dispatchers is not None:
            before = self._dispatchers
            self._retire(*before)
            self._dispatchers = [
                self._started(f"dispatcher {dispatcher.device}", dispatcher, before)
                for dispatcher in renewal.dispatchers
            ]
        self._take_over_senders(renewal)

    def _take_over_senders(self, renewal: Renewal) -> None:
        named = {destination.name for destination in renewal.config.destination}
        for name in [name for name in self._senders if name not in named]:
            self._retire(self._senders.pop(name))
        for sender in renewal.senders:
            name = sender.destination.name
            before = [self._senders[name]] if name in self._senders else []
            self._retire(*before)
            self._senders[name] = self._started(f"sender {name}", sender, before)

    def _retire(self, *parts: Running) -> None:
        for one in parts:
            one.part.retire()
        self._retired += parts

    def _started(self, name: str, part: Part, after: Sequence[Running]) -> Running:
        threads = [one.thread for one in after]
        thread = threading.Thread(target=self._run, args=(name, part, threads), name=name, daemon=True)
        thread.start()
        return Running(part, thread)

    def _run(self, name: str, part: Part, after: Sequence[threading.Thread]) -> None:
        finished = False
        try:
            for predecessor in after:
                while predecessor.is_alive() and not self._stop.is_set():
                    predecessor.join(POLL_S)
            part.run(self._stop)
            finished = True
        finally:
            if not finished:
                log.critical("a part of the node died", extra={"part": name}, exc_info=True)
                self._died()

    def join(self) -> None:
        """Wait until all have ended, each for :data:`JOIN_S`."""
        for one in (*self._dispatchers, *self._senders.values(), *self._retired):
            one.thread.join(JOIN_S)


def devices_of(config: Config) -> Sequence[str]:
    """The devices of the workers, one for each entry of the configuration.

    ``auto`` is every NVIDIA device of this machine; where there is none, one worker that finds out itself. On a Ray
    cluster each actor has one, which the cluster finds.
    """
    if config.execution.backend == "ray":
        return [f"ray {index}" for index in range(config.execution.ray.workers)]
    devices: list[str] = []
    for device in config.execution.devices:
        found = sorted(glob.glob("/dev/nvidia[0-9]*")) if device == "auto" else []
        devices += [f"cuda:{index}" for index in range(len(found))] or [device]
    return devices

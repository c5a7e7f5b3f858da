"""``dicomnode serve``: the parts of a role, started in order, drained and stopped.

One supervisor process receives, watches deadlines and sends; models run in worker processes of its own. Everything a
crash interrupts is taken up again at the next start, from the database and the spool.
"""

from __future__ import annotations

import fcntl
import glob
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.app.draining import DRAIN_SIGNAL, DRAIN_TICK_S, Work
from dicomnode.app.hl7 import hl7_listener, require_hl7
from dicomnode.assemble.not_performed import NOT_PERFORMED_TICK_S, NotPerformedReports
from dicomnode.assemble.service import Assembler
from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.deliver.sender import Sender
from dicomnode.environment import said_by
from dicomnode.errors import EnvironmentFault
from dicomnode.execute.digests import IDLE_S, PixelDigests
from dicomnode.execute.dispatcher import Dispatcher
from dicomnode.execute.late_context import LATE_EVERY_S, LateContext
from dicomnode.ops.clock import ClockWatch
from dicomnode.ops.context import context_duties
from dicomnode.ops.notify.notifier import LOOK_EVERY_S, Notifier
from dicomnode.ops.permissions import close_to_others, private_files
from dicomnode.ops.retention import HOUR_S, purge
from dicomnode.ops.scheduler import TICK_S, Duty, Scheduler, queue_duties
from dicomnode.ops.service import ALIVE, READY, STOPPING, tell, watchdog_every_s
from dicomnode.ops.state import BreakerState, NodeState, StateOf
from dicomnode.receive.mllp.listener import MllpListener
from dicomnode.receive.scp import StorageScp, spool_of
from dicomnode.store.deliver import holding, outbox
from dicomnode.store.engine import Store
from dicomnode.store.opening import database_fault, require_existing
from dicomnode.store.queue.jobs import recover_leases
from dicomnode.store.storage import Storage
from dicomnode.store.upgrading import upgraded_store

log = logging.getLogger(__name__)

JOIN_S = 20.0
STORAGE_TICK_S = 1.0
DRAIN_S = 5.0


class Role(StrEnum):
    """Which parts run in this process."""

    ALL = "all"
    RECEIVE = "receive"
    WORK = "work"
    DELIVER = "deliver"


class Watcher(Protocol):
    """A part that looks at the node and that the node does not need, such as its HTTP port."""

    def start(self) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """Look no more."""


NewWatcher = Callable[[Config, StateOf], Watcher]


class Node:
    """A running node. Use as a context manager, or :meth:`start` and :meth:`stop`.

    Parameters
    ----------
    new_watcher : makes the part that watches the node; None: nothing watches it.

    Attributes
    ----------
    failed : set when a part died unexpectedly; the node then stops with exit code 1, so that a service manager restarts
        it instead of leaving a node that answers but does not work.
    """

    def __init__(self, config: Config, role: Role = Role.ALL, new_watcher: NewWatcher | None = None) -> None:
        self.config = config
        self._new_watcher = new_watcher
        self._watcher: Watcher | None = None
        self.role = role
        self.owner = owner_of(config, role)
        self.failed = threading.Event()
        self._stop = threading.Event()
        self._draining = threading.Event()
        self._threads: list[threading.Thread] = []
        self._dispatchers: list[Dispatcher] = []
        self._senders: list[Sender] = []
        self._scp: StorageScp | None = None
        self._hl7: MllpListener | None = None
        self._scheduler: Scheduler | None = None
        self._digests: PixelDigests | None = None
        self._lock: IO[str] | None = None
        self.store: Store | None = None

    @property
    def port(self) -> int:
        """The port that the SCP listens on; 0 when this role does not receive."""
        return self._scp.port if self._scp is not None else 0

    @property
    def hl7_port(self) -> int:
        """The port for HL7; 0 where there is none."""
        return self._hl7.port if self._hl7 is not None else 0

    @property
    def working(self) -> bool:
        """Whether a worker has its models loaded."""
        return any(dispatcher.is_working for dispatcher in self._dispatchers)

    @property
    def worker_fault(self) -> str:
        """Why no worker can start; empty while one can."""
        return next((dispatcher.fault for dispatcher in self._dispatchers if dispatcher.fault), "")

    def state(self) -> NodeState:
        """What those who watch the node are told; for any thread."""
        senders = [(one.destination.name, one.breaker) for one in list(self._senders)]
        return NodeState(
            role=self.role,
            receives=self.port > 0 and not self._ends() if self._does(Role.RECEIVE) else None,
            works=self.working if self._does(Role.WORK) else None,
            worker_fault=self.worker_fault,
            has_failed=self.failed.is_set(),
            breakers=tuple(BreakerState(name, breaker.is_open, breaker.failures) for name, breaker in senders),
        )

    def start(self) -> None:
        """Heal what a crash left, then start the parts; the SCP last, when everything behind it works.

        Raises
        ------
        ConfigError : the configuration is wrong: starting again would not help.
        EnvironmentFault : a folder, the port or the database cannot be used now; a service manager is to try again.
        """
        if self._does(Role.RECEIVE):
            # their faults are to be said before anything is done
            server_context(self.config.reception.tls)
            require_hl7(self.config)
        if self.config.node.require_existing:
            require_existing(self.config.database_url)
        self._lock = _exclusive_folder(self.config, self.role)
        copies = self.config.upgrades_dir if self.config.database.backup_before_upgrade else None
        self.store = upgraded_store(self.config.database_url, copies)
        storage = Storage(self.store, self.config.spool_dir)
        self._bind(storage)
        clock = ClockWatch(self.store, self.owner)
        clock.start()
        close_to_others(self.config)
        self._heal(self.store)
        if self._new_watcher is not None:
            self._watcher = self._new_watcher(self.config, self.state)
            self._watcher.start()
        duties = [Duty("storage", STORAGE_TICK_S, storage.watch)]
        if self._does(Role.WORK):
            duties += self._start_work(self.store)
        if self._does(Role.DELIVER):
            self._start_senders(self.store, clock)
        if self._does(Role.RECEIVE):
            is_stopping = self._stop.is_set
            self._digests = PixelDigests(start_timeout_s=self.config.execution.start_timeout_s, is_stopping=is_stopping)
            assembler = Assembler(self.config, self.store, self._digests, is_stopping)
            duties.append(Duty("assemble", TICK_S, assembler.tick))
            duties.append(Duty("rest", IDLE_S, self._digests.rest))
            duties.append(
                Duty("studies without result", NOT_PERFORMED_TICK_S, NotPerformedReports(self.config, self.store).tick)
            )
        if self.config.operations.notify.is_on:
            # Of several processes on one database those that work tell of it.
            works = self._does(Role.WORK)
            notifier = Notifier(self.config, self.store, self.owner, self.state, works=works)
            duties.append(Duty("notifications", LOOK_EVERY_S, notifier.look))
        if (every_s := watchdog_every_s()) > 0:
            # from a thread of the scheduler: one that hangs does none of its duties
            duties.append(Duty("watchdog", every_s, lambda: tell(ALIVE)))
        self._scheduler = Scheduler(duties, before=clock.check)
        self._scheduler.start()
        if self._does(Role.RECEIVE):
            self._start_hl7(self.store)
            self._start_scp(self.store, storage)
        tell(READY)
        log.info("node started", extra={"role": self.role, "port": self.port, "ae_title": self.config.node.ae_title})

    def _does(self, role: Role) -> bool:
        return self.role in (Role.ALL, role)

    def _heal(self, store: Store) -> None:
        """Take back the leases that this node held when it died; the SCP and the senders heal what is theirs."""
        with store.write() as session:
            jobs = recover_leases(session, time.time(), owner=self.owner)
        if jobs:
            log.warning("jobs interrupted by the last stop are queued again", extra={"count": jobs})

    def _start_work(self, store: Store) -> list[Duty]:
        for device in devices_of(self.config):
            dispatcher = Dispatcher(self.config, store, owner=self.owner, device=device)
            self._dispatchers.append(dispatcher)
            self._spawn(f"dispatcher {device}", dispatcher.run)
        duties = [*queue_duties(store), Duty("retention", HOUR_S, lambda: purge(self.config, store))]
        if self.config.clinical.amend_h > 0:
            duties.append(Duty("late context", LATE_EVERY_S, LateContext(self.config, store).look))
        return [*duties, *context_duties(self.config, store, self._stop.is_set)]

    def _start_senders(self, store: Store, clock: ClockWatch) -> None:
        with store.read() as session:
            orphaned = outbox.orphaned(session, [destination.name for destination in self.config.destination])
            held = holding.count_held(session)
        for name, count in orphaned.items():
            log.error(
                "results wait for a destination that is not configured any more (dicomnode jobs withdraw ends that)",
                extra={"destination": name, "count": count},
            )
        for name, count in held.items():
            message = "results are held until somebody decides (dicomnode jobs held)"
            log.error(message, extra={"destination": name, "count": count})
        for destination in self.config.destination:
            data_dir, before = self.config.node.data_dir, clock.check
            sender = Sender(self.config, store, data_dir, self.owner, destination, before_step=before)
            self._senders.append(sender)
            self._spawn(f"sender {destination.name}", sender.run)

    def _bind(self, storage: Storage) -> None:
        try:
            storage.bind()
            self.config.work_dir.mkdir(parents=True, exist_ok=True)
        except SQLAlchemyError as fault:
            raise database_fault(self.config.database_url, fault) from fault
        except OSError as fault:
            raise _folder_fault(self.config.work_dir, fault) from fault

    def _start_scp(self, store: Store, storage: Storage) -> None:
        spool = spool_of(self.config, self.owner, is_there=storage.is_there)
        self._scp = StorageScp(self.config, store, spool, self.owner)
        try:
            spool.prepare()
        except OSError as fault:
            raise _folder_fault(spool.root, fault) from fault
        try:
            self._scp.start()
        except SQLAlchemyError as fault:
            raise database_fault(self.config.database_url, fault) from fault
        except OSError as fault:
            where = f"{self.config.node.host}:{self.config.node.port}"
            raise EnvironmentFault(f"node.port: cannot listen on {where} ({fault.strerror or fault})") from fault

    def _start_hl7(self, store: Store) -> None:
        listener = hl7_listener(self.config, store)
        if listener is None:
            return
        try:
            listener.start()
        except OSError as fault:
            where = f"{self.config.clinical.hl7.host}:{self.config.clinical.hl7.port}"
            raise EnvironmentFault(
                f"clinical.hl7.port: cannot listen on {where} ({fault.strerror or fault})"
            ) from fault
        self._hl7 = listener

    def _spawn(self, name: str, target: Callable[[threading.Event], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(name, target), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, name: str, target: Callable[[threading.Event], None]) -> None:
        finished = False
        try:
            target(self._stop)
            finished = True
        finally:
            if not finished:
                log.critical("a part of the node died", extra={"part": name}, exc_info=True)
                self.failed.set()
                self._stop.set()

    def _ends(self) -> bool:
        return self._stop.is_set() or self._draining.is_set()

    def wait(self) -> None:
        """Return when :meth:`request_stop` was called, a part died, or the node was drained."""
        while not self._stop.wait(0.5):
            if self._draining.is_set():
                self._drain()

    def _drain(self) -> None:
        """Take nothing new, and stop once what was begun is done and sent."""
        if self.store is None:
            return
        log.info("draining: nothing new is taken")
        if self._scp is not None:
            self._scp.refuse_new()
        for dispatcher in self._dispatchers:
            dispatcher.takes_jobs = False
        destinations = [sender.destination.name for sender in self._senders]
        work = Work(self.store, lambda: 0 if self._scp is None else self._scp.associations, self._is_busy, destinations)
        while not self._stop.wait(DRAIN_TICK_S):
            if work.is_over():
                log.info("drained")
                self._stop.set()

    def _is_busy(self) -> bool:
        return any(dispatcher.is_busy for dispatcher in self._dispatchers)

    def request_drain(self) -> None:
        """Ask the node to finish what it has begun, to send it, and to stop; safe in a signal handler."""
        self._draining.set()

    def request_stop(self) -> None:
        """Ask the node to stop; safe in a signal handler."""
        self._stop.set()

    def stop(self) -> None:
        """Refuse new associations, let what runs end, stop the rest; what is not done is taken up at the next start."""
        tell(STOPPING)
        if self._scp is not None:
            self._scp.stop(drain_s=DRAIN_S)
        if self._hl7 is not None:
            self._hl7.stop(drain_s=DRAIN_S)
        self._stop.set()
        if self._scheduler is not None:
            self._scheduler.stop()
        if self._digests is not None:
            self._digests.close()
        for thread in self._threads:
            thread.join(JOIN_S)
        if self._watcher is not None:
            self._watcher.stop()
        if self.store is not None:
            self.store.close()
        if self._lock is not None:
            self._lock.close()
        if self._scheduler is not None:
            log.info("node stopped")

    def __enter__(self) -> Node:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def serve(config: Config, role: Role, new_watcher: NewWatcher | None = None) -> int:
    """Run a node until SIGTERM or SIGINT, or until it is drained after SIGUSR1; returns the exit code.

    Raises
    ------
    ConfigError, EnvironmentFault : see :meth:`Node.start`.
    """
    node = Node(config, role, new_watcher)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.request_stop())
    signal.signal(DRAIN_SIGNAL, lambda *_: node.request_drain())
    with private_files(), node:
        node.wait()
    return 1 if node.failed.is_set() else 0


def owner_of(config: Config, role: Role) -> str:
    """What the rows of a node are known by, the same after a restart: its name, or where it runs if it has none."""
    place = config.node.name or f"{socket.gethostname()}:{config.node.data_dir.absolute()}"
    return f"{config.node.ae_title}@{place}#{role}"


def devices_of(config: Config) -> Sequence[str]:
    """The devices of the workers, one for each entry of the configuration.

    ``auto`` is every NVIDIA device of this machine; where there is none, one worker that finds out itself.
    """
    devices: list[str] = []
    for device in config.execution.devices:
        found = sorted(glob.glob("/dev/nvidia[0-9]*")) if device == "auto" else []
        devices += [f"cuda:{index}" for index in range(len(found))] or [device]
    return devices


def _exclusive_folder(config: Config, role: Role) -> IO[str]:
    folder = config.node.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f".{'-'.join(filter(None, (role, config.node.name)))}.lock").open("w")
    except OSError as fault:
        raise _folder_fault(folder, fault) from fault
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        lock.close()
        says = f"node.data_dir: another dicomnode (role {role}) runs on {folder}; several have a node.name each"
        raise EnvironmentFault(says) from fault
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _folder_fault(folder: Path, fault: OSError) -> EnvironmentFault:
    return EnvironmentFault(f"node.data_dir: {folder} cannot be used ({said_by(fault)})")

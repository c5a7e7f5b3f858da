"""``dicomnode serve``: the parts of a role, started in order, drained and stopped.

One supervisor process receives, watches deadlines and sends; models run in worker processes of its own. Everything a
crash interrupts is taken up again at the next start, from the database and the spool.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.app.draining import DRAIN_TICK_S, Work
from dicomnode.app.hl7 import hl7_handler, hl7_listener, require_hl7
from dicomnode.app.parts import Parts
from dicomnode.app.selftests import LOOK_EVERY_S as SELFTEST_LOOK_S
from dicomnode.app.selftests import SelfTests
from dicomnode.assemble.not_performed import NOT_PERFORMED_TICK_S, NotPerformedReports
from dicomnode.assemble.service import Assembler
from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.environment import said_by
from dicomnode.errors import EnvironmentFault
from dicomnode.execute.digests import IDLE_S, PixelDigests
from dicomnode.execute.late_context import LATE_EVERY_S, LateContext
from dicomnode.ops.audit.trail import SEND_EVERY_S, WRITE_EVERY_S, AuditTrail
from dicomnode.ops.clock import ClockWatch
from dicomnode.ops.context import context_duties
from dicomnode.ops.notify.notifier import LOOK_EVERY_S, Notifier
from dicomnode.ops.permissions import close_to_others
from dicomnode.ops.retention import HOUR_S, purge
from dicomnode.ops.scheduler import TICK_S, Duty, Scheduler, queue_duties
from dicomnode.ops.service import ALIVE, READY, STOPPING, tell, watchdog_every_s
from dicomnode.ops.state import NodeState, StateOf
from dicomnode.receive.mllp.listener import MllpListener
from dicomnode.receive.scp import StorageScp, spool_of
from dicomnode.store.deliver import holding, outbox
from dicomnode.store.engine import Store
from dicomnode.store.opening import database_fault, require_existing
from dicomnode.store.queue.jobs import recover_leases
from dicomnode.store.storage import Storage
from dicomnode.store.upgrading import upgraded_store

log = logging.getLogger(__name__)

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

    def reload(self, config: Config) -> None:
        """Look by another configuration."""

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
    config : what it goes by now.
    config_fault : why the file of the configuration was not taken over; empty while it was.
    failed : set when a part died unexpectedly; the node then stops with exit code 1, so that a service manager restarts
        it instead of leaving a node that answers but does not work.
    """

    def __init__(self, config: Config, role: Role = Role.ALL, new_watcher: NewWatcher | None = None) -> None:
        self.config = config
        self.config_fault = ""
        self._new_watcher = new_watcher
        self._watcher: Watcher | None = None
        self.role = role
        self.owner = owner_of(config, role)
        self.failed = threading.Event()
        self._stop = threading.Event()
        self._draining = threading.Event()
        self._parts: Parts | None = None
        self._trail: AuditTrail | None = None
        self._selftests: SelfTests | None = None
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
        return self._parts is not None and self._parts.is_working

    @property
    def worker_fault(self) -> str:
        """Why no worker can start; empty while one can."""
        return "" if self._parts is None else self._parts.worker_fault

    def state(self) -> NodeState:
        """What those who watch the node are told; for any thread."""
        return NodeState(
            role=self.role,
            receives=self.port > 0 and not self._ends() if self._does(Role.RECEIVE) else None,
            works=self.working if self._does(Role.WORK) else None,
            worker_fault=self.worker_fault,
            has_failed=self.failed.is_set(),
            breakers=() if self._parts is None else self._parts.breakers,
            config_fault=self.config_fault,
            selftests=self._selftests.told() if self._selftests is not None else {},
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
        self._trail = AuditTrail(self.config, self.store, works=self._does(Role.WORK))
        self._trail.start()
        if self._new_watcher is not None:
            self._watcher = self._new_watcher(self.config, self.state)
            self._watcher.start()
        self._parts = self._new_parts(self.store, clock)
        self._parts.take_over(self._parts.renewed(self.config))
        if self._does(Role.WORK):
            self._selftests = SelfTests(self.config, is_working=lambda: self.working, is_stopping=self._stop.is_set)
        if self._does(Role.DELIVER):
            tell_of_what_waits(self.store, self.config)
        if self._does(Role.RECEIVE):
            start_timeout_s = self.config.execution.start_timeout_s
            self._digests = PixelDigests(start_timeout_s=start_timeout_s, is_stopping=self._stop.is_set)
        self._scheduler = Scheduler(self._duties(self.config, self.store), before=clock.check)
        self._scheduler.start()
        if self._does(Role.RECEIVE):
            self._start_hl7(self.store)
            self._start_scp(self.store, storage)
        tell(READY)
        log.info("node started", extra={"role": self.role, "port": self.port, "ae_title": self.config.node.ae_title})

    def reload(self, config: Config) -> None:
        """Take over another configuration, whole or not at all; ports, folders and database stay.

        What is on its way is finished: associations stay open, a job and a delivery at hand end as they began.

        Raises
        ------
        ConfigError : it cannot be taken over; nothing was changed.
        """
        assert self.store is not None
        assert self._parts is not None
        assert self._scheduler is not None
        # All that may fail comes first.
        renewal = self._parts.renewed(config)
        duties = self._duties(config, self.store)
        handler = None if self._hl7 is None else hl7_handler(config, self.store)
        self.config = config
        self._parts.take_over(renewal)
        if self._selftests is not None:
            self._selftests.reload(config)
        if self._trail is not None:
            self._trail.reload(config)
        self._scheduler.replace(duties)
        if self._scp is not None:
            self._scp.reload(config)
        if self._hl7 is not None and handler is not None:
            self._hl7.reload(config.clinical.hl7, handler)
        if self._digests is not None:
            self._digests.wait_for_start(config.execution.start_timeout_s)
        if self._watcher is not None:
            self._watcher.reload(config)

    def _does(self, role: Role) -> bool:
        return self.role in (Role.ALL, role)

    def _new_parts(self, store: Store, clock: ClockWatch) -> Parts:
        return Parts(
            store,
            self.owner,
            works=self._does(Role.WORK),
            delivers=self._does(Role.DELIVER),
            before_step=clock.check,
            stop=self._stop,
            died=self._part_died,
        )

    def _part_died(self) -> None:
        self.failed.set()
        self._stop.set()

    def _duties(self, config: Config, store: Store) -> list[Duty]:
        """All that is done again and again in this role."""
        is_stopping = self._stop.is_set
        duties = [Duty("storage", STORAGE_TICK_S, Storage(store, config.spool_dir).watch)]
        if self._does(Role.WORK):
            duties += [*queue_duties(store), Duty("retention", HOUR_S, lambda: purge(config, store))]
            duties += context_duties(config, store, is_stopping)
        if self._does(Role.WORK) and config.clinical.amend_h > 0:
            duties.append(Duty("late context", LATE_EVERY_S, LateContext(config, store).look))
        if self._digests is not None:
            assembler = Assembler(config, store, self._digests, is_stopping)
            reports = NotPerformedReports(config, store)
            duties.append(Duty("assemble", TICK_S, assembler.tick))
            duties.append(Duty("rest", IDLE_S, self._digests.rest))
            duties.append(Duty("studies without result", NOT_PERFORMED_TICK_S, reports.tick))
        if self._selftests is not None:
            duties.append(Duty("selftests", SELFTEST_LOOK_S, self._selftests.look))
        if self._trail is not None:
            duties.append(Duty("audit", WRITE_EVERY_S, self._trail.write))
            duties.append(Duty("audit server", SEND_EVERY_S, self._trail.send))
        if (every_s := watchdog_every_s()) > 0:
            # from a thread of the scheduler: one that hangs does none of its duties
            duties.append(Duty("watchdog", every_s, lambda: tell(ALIVE)))
        # Of several processes on one database those that work tell of it. Where nobody is told, the page shows alarms.
        notifier = Notifier(config, store, self.owner, self.state, works=self._does(Role.WORK))
        return [*duties, Duty("notifications", LOOK_EVERY_S, notifier.look)]

    def _heal(self, store: Store) -> None:
        """Take back the leases that this node held when it died; the SCP and the senders heal what is theirs."""
        with store.write() as session:
            jobs = recover_leases(session, time.time(), owner=self.owner)
        if jobs:
            log.warning("jobs interrupted by the last stop are queued again", extra={"count": jobs})

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

    def _ends(self) -> bool:
        return self._stop.is_set() or self._draining.is_set()

    def wait(self, asked: threading.Event | None = None, answer: Callable[[], object] = lambda: None) -> None:
        """Return when :meth:`request_stop` was called, a part died, or the node was drained.

        Until then ``answer`` is called when ``asked`` is set.
        """
        while not self._stop.wait(0.5):
            if self._draining.is_set():
                self._drain()
            elif asked is not None and asked.is_set():
                asked.clear()
                answer()

    def _drain(self) -> None:
        """Take nothing new, and stop once what was begun is done and sent."""
        if self.store is None or self._parts is None:
            return
        log.info("draining: nothing new is taken")
        if self._scp is not None:
            self._scp.refuse_new()
        self._parts.take_no_jobs()
        work = Work(self.store, self._associations, lambda: self._is_busy, self._parts.destinations)
        while not self._stop.wait(DRAIN_TICK_S):
            if work.is_over():
                log.info("drained")
                self._stop.set()

    def _associations(self) -> int:
        return 0 if self._scp is None else self._scp.associations

    @property
    def _is_busy(self) -> bool:
        return self._parts is not None and self._parts.is_busy

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
        if self._parts is not None:
            self._parts.join()
        if self._watcher is not None:
            self._watcher.stop()
        self._stop_storing()
        if self._scheduler is not None:
            log.info("node stopped")

    def _stop_storing(self) -> None:
        """The end of the audit trail, of the connections to the database, and of the claim to the folder."""
        try:
            if self._trail is not None:
                self._trail.stop()
        except SQLAlchemyError as fault:
            log.error("end not audited: the database is away", extra={"action": "audit", "error": said_by(fault)})
        if self.store is not None:
            self.store.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Node:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def owner_of(config: Config, role: Role) -> str:
    """What the rows of a node are known by, the same after a restart: its name, or where it runs if it has none."""
    place = config.node.name or f"{socket.gethostname()}:{config.node.data_dir.absolute()}"
    return f"{config.node.ae_title}@{place}#{role}"


def tell_of_what_waits(store: Store, config: Config) -> None:
    """Say at start which results nobody sends: for destinations that are not configured any more, and held ones."""
    with store.read() as session:
        orphaned = outbox.orphaned(session, [destination.name for destination in config.destination])
        held = holding.count_held(session)
    for name, count in orphaned.items():
        log.error(
            "results wait for a destination that is not configured any more (dicomnode jobs withdraw ends that)",
            extra={"destination": name, "count": count},
        )
    for name, count in held.items():
        message = "results are held until somebody decides (dicomnode jobs held)"
        log.error(message, extra={"destination": name, "count": count})


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
    lock.write(f"{os.getpid()} {socket.gethostname()}")
    lock.flush()
    return lock


def _folder_fault(folder: Path, fault: OSError) -> EnvironmentFault:
    return EnvironmentFault(f"node.data_dir: {folder} cannot be used ({said_by(fault)})")

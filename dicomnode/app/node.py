"""``dicomnode serve``: the parts of a role, started in order, drained and stopped.

One supervisor process receives, watches deadlines and sends; models run in worker processes of its own. Everything a
crash interrupts is taken up again at the next start, from the database and the spool.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.app.data_folder import bind, exclusive_folder
from dicomnode.app.doors import open_scp, opened_hl7
from dicomnode.app.draining import DRAIN_TICK_S, Work
from dicomnode.app.duties import Doer, duties_of
from dicomnode.app.hl7 import hl7_handler, require_hl7
from dicomnode.app.parts import Parts
from dicomnode.app.receivers import Receivers
from dicomnode.app.role import Role, owner_of
from dicomnode.app.selftests import SelfTests
from dicomnode.app.waiting import tell_of_what_waits
from dicomnode.app.watching import NewWatcher, Watcher
from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.environment import said_by
from dicomnode.execute.digests import PixelDigests
from dicomnode.ops.audit.trail import AuditTrail
from dicomnode.ops.clock import ClockWatch
from dicomnode.ops.permissions import close_to_others
from dicomnode.ops.scheduler import Scheduler
from dicomnode.ops.service import READY, STOPPING, tell
from dicomnode.ops.state import NodeState
from dicomnode.receive.mllp.listener import MllpListener
from dicomnode.receive.places import Places
from dicomnode.receive.scp import StorageScp, spool_of
from dicomnode.store.engine import Store
from dicomnode.store.opening import require_existing
from dicomnode.store.queue.jobs import recover_leases
from dicomnode.store.storage import Storage
from dicomnode.store.upgrading import upgraded_store

log = logging.getLogger(__name__)

DRAIN_S = 5.0


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
        self._receivers: Receivers | None = None
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
        self._lock = exclusive_folder(self.config, self.role)
        copies = self.config.upgrades_dir if self.config.database.backup_before_upgrade else None
        self.store = upgraded_store(self.config.database_url, copies)
        storage = Storage(self.store, self.config.spool_dir)
        bind(self.config, storage)
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
        self._scheduler = Scheduler(duties_of(self.config, self.store, self._as_doer()), before=clock.check)
        self._scheduler.start()
        if self._does(Role.RECEIVE):
            self._hl7 = opened_hl7(self.config, self.store)
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
        duties = duties_of(config, self.store, self._as_doer())
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
        if self._receivers is not None:
            self._receivers.reload(config)
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

    def _as_doer(self) -> Doer:
        return Doer(
            owner=self.owner,
            works=self._does(Role.WORK),
            state=self.state,
            is_stopping=self._stop.is_set,
            digests=self._digests,
            selftests=self._selftests,
            trail=self._trail,
        )

    def _heal(self, store: Store) -> None:
        """Take back the leases that this node held when it died; the SCP and the senders heal what is theirs."""
        with store.write() as session:
            jobs = recover_leases(session, time.time(), owner=self.owner)
        if jobs:
            log.warning("jobs interrupted by the last stop are queued again", extra={"count": jobs})

    def _start_scp(self, store: Store, storage: Storage) -> None:
        spool = spool_of(self.config, self.owner, is_there=storage.is_there)
        places = Places(self.config.reception.receivers)
        # known before it starts: where that fails it is stopped like the rest
        self._scp = StorageScp(self.config, store, spool, self.owner, places)
        open_scp(self.config, self._scp, spool)
        self._receivers = Receivers(self.config, self.owner, places)
        self._receivers.start(self._scp.port)

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
        for receiving in (self._scp, self._receivers):
            if receiving is not None:
                receiving.refuse_new()
        self._parts.take_no_jobs()
        work = Work(self.store, self._associations, lambda: self._is_busy, self._parts.destinations)
        while not self._stop.wait(DRAIN_TICK_S):
            if work.is_over():
                log.info("drained")
                self._stop.set()

    def _associations(self) -> int:
        return sum(receiving.associations for receiving in (self._scp, self._receivers) if receiving is not None)

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
        if self._receivers is not None:
            self._receivers.request_stop(DRAIN_S)
        if self._scp is not None:
            self._scp.stop(drain_s=DRAIN_S)
        if self._receivers is not None:
            self._receivers.join()
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

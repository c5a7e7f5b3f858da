"""``/metrics`` in the text format of Prometheus: what is new is counted, what stands is looked up."""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections import Counter
from contextlib import suppress

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from sqlalchemy.orm import Session

from dicomnode.config.whole import Config
from dicomnode.ops.devices import Devices
from dicomnode.ops.http.figures import Figures, count, replace
from dicomnode.ops.http.warnings_counted import WarningsCounted
from dicomnode.ops.notify.faults import silent_s
from dicomnode.ops.readiness import Readiness
from dicomnode.ops.state import NodeState, StateOf
from dicomnode.ops.time_service import clock_quality
from dicomnode.store.engine import Store
from dicomnode.store.ops import standing
from dicomnode.store.ops.alarms import all_alarms
from dicomnode.store.ops.audit import count_waiting
from dicomnode.store.ops.fresh import Cursor, Fresh, fresh, newest
from dicomnode.store.ops.times import TOTAL
from dicomnode.store.pausing import list_paused

KEPT_S = 1.0
"""Scrapes that come faster get the same text."""


class Metrics:
    """The figures of one node; for any number of threads.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError : the database is away.
    """

    def __init__(self, config: Config, store: Store, state_of: StateOf, readiness: Readiness) -> None:
        self._config, self._store, self._state_of, self._readiness = config, store, state_of, readiness
        self._registry = CollectorRegistry()
        self._figures = Figures(self._registry)
        PlatformCollector(self._registry)
        ProcessCollector(registry=self._registry)
        self.warnings = WarningsCounted(self._registry)
        self._devices = Devices()
        self._lock = threading.Lock()
        self._text, self._made_at = b"", float("-inf")
        with store.read() as session:
            self._cursor: Cursor = newest(session)
            self._last_image = dict(standing.last_associations(session))
        replace(self._figures.last_image, (((sender,), at) for sender, at in self._last_image.items()))

    def reload(self, config: Config, readiness: Readiness) -> None:
        """Look at these from now on; what was counted stays."""
        self._config, self._readiness = config, readiness

    def text(self) -> bytes:
        """All figures as they are now.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError : the database is away.
        """
        with self._lock:
            if time.monotonic() - self._made_at >= KEPT_S:
                self._look()
                self._text, self._made_at = generate_latest(self._registry), time.monotonic()
            return self._text

    def _look(self) -> None:
        state = self._state_of()
        with self._store.read() as session:
            new = fresh(session, self._cursor)
            self._standing(session)
            left = newest(session).event_id - new.upto.event_id
        self._count(new)
        self._cursor = new.upto
        self._figures.unread.set(left)
        self._of_node(state)

    def _count(self, new: Fresh) -> None:
        figures = self._figures
        for peer in new.received:
            figures.images.labels(peer.calling_ae).inc(peer.images)
            figures.image_bytes.labels(peer.calling_ae).inc(peer.size_bytes)
            figures.last_image.labels(peer.calling_ae).set(peer.last_at)
        for run in new.runs:
            figures.runs.labels(run.model, run.device, run.event).inc()
            if run.seconds is not None:
                figures.run_seconds.labels(run.model, run.device).observe(run.seconds)
            for finding, decision in run.decisions:
                figures.decisions.labels(run.model, finding, decision).inc()
        for job in new.jobs:
            figures.to_pacs.labels(job.protocol).observe(job.stage_s[TOTAL])
            for stage, seconds in job.stage_s.items():
                figures.stage_seconds.labels(stage).observe(seconds)
        count(figures.refused, new.refused)
        count(figures.deliveries, new.deliveries)

    def _standing(self, session: Session) -> None:
        figures, now = self._figures, time.time()
        jobs = standing.waiting_jobs(session)
        replace(figures.jobs, (((one.status, one.priority), one.count) for one in jobs))
        replace(figures.job_age, (((one.status, one.priority), max(0.0, now - one.oldest_at)) for one in jobs))
        rows = standing.unsent(session, [destination.name for destination in self._config.destination])
        replace(figures.unsent, (((one.destination, one.status), one.count) for one in rows))
        replace(figures.unsent_age, (((one.destination, one.status), max(0.0, now - one.oldest_at)) for one in rows))
        replace(figures.paused, (((one.part, one.name), 1.0) for one in list_paused(session)))
        alarms = Counter((one.kind, _yes(one.acknowledged_at is not None)) for one in all_alarms(session))
        replace(figures.alarms, alarms.items())
        figures.silence.set(silent_s(session, self._config, now))
        figures.audit_waiting.set(count_waiting(session))
        step = standing.last_clock_step(session)
        if step is not None:
            figures.clock_stepped.set(step[0])
            figures.clock_step.set(step[1])

    def _of_node(self, state: NodeState) -> None:
        figures = self._figures
        replace(figures.breaker, (((one.destination,), float(one.is_open)) for one in state.breakers))
        replace(figures.failures, (((one.destination,), one.failures) for one in state.breakers))
        replace(figures.ready, (((check.what,), float(check.ok)) for check in self._readiness.checks(state)))
        memory = self._devices.memory()
        replace(figures.memory_used, (((one.device,), one.used) for one in memory))
        replace(figures.memory_total, (((one.device,), one.total) for one in memory))
        clock = clock_quality()
        # Where the kernel does not tell, 0 would be an alarm.
        figures.clock_kept.set(math.nan if clock is None else clock.is_synchronised)
        figures.clock_error.set(math.nan if clock is None else clock.error_s)
        replace(figures.selftest, (((name,), float(is_ok)) for name, (is_ok, _) in state.selftests.items()))
        figures.config_fault.set(bool(state.config_fault))
        figures.disk_reserve.set(self._config.reception.min_free_gb * 1e9)
        with suppress(OSError):  # said by /ready
            figures.disk_free.set(shutil.disk_usage(self._config.spool_dir).free)


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"

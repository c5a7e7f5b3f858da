"""The clock of the node: APScheduler calls the periodic duties. What is due is known from the database alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.store.deliver.outbox import recover_parcels, settle_stranded_jobs
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import recover_leases, release_waiting
from dicomnode.store.queue.notes import release_notes

log = logging.getLogger(__name__)

TICK_S = 0.25
RECOVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to do again and again. ``work`` must be safe to repeat and to interrupt."""

    name: str
    every_s: float
    work: Callable[[], object]


class Scheduler:
    """Calls each duty in a thread of its own; a duty never overlaps itself.

    Parameters
    ----------
    before : called before each duty, such as a look whether the clock was set.
    """

    def __init__(self, duties: list[Duty], *, before: Callable[[], object] = lambda: None) -> None:
        self._before = before
        self._scheduler = BackgroundScheduler(
            # a thread for each, since some wait for servers; and for those that come with a new configuration
            executors={"default": ThreadPoolExecutor(max(24, 2 * len(duties)))},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
            timezone="UTC",
        )
        self.replace(duties)

    def replace(self, duties: list[Duty]) -> None:
        """From now on these; one of a name that was there before waits until the former has ended, as ever."""
        names = {duty.name for duty in duties}
        for known in self._scheduler.get_jobs():
            if known.id not in names:
                known.remove()
        for duty in duties:
            call = _survive(duty, self._before)
            self._scheduler.add_job(call, "interval", seconds=duty.every_s, id=duty.name, replace_existing=True)

    def start(self) -> None:
        """Begin calling."""
        self._scheduler.start()

    def stop(self) -> None:
        """Wait for the duties that run now, then call no more."""
        self._scheduler.shutdown(wait=True)


def queue_duties(store: Store) -> list[Duty]:
    """What the queue itself needs: waits that are over, leases that ran out, jobs with nothing left to send."""

    def release() -> None:
        with store.write() as session:
            release_waiting(session, time.time())
            release_notes(session, time.time())

    def recover() -> None:
        with store.write() as session:
            recovered = recover_leases(session, time.time()) + recover_parcels(session, time.time())
            settle_stranded_jobs(session)
        if recovered:
            log.warning("expired leases recovered", extra={"count": recovered})

    return [Duty("release waiting jobs", TICK_S, release), Duty("recover leases", RECOVERY_S, recover)]


def _survive(duty: Duty, before: Callable[[], object]) -> Callable[[], None]:
    def call() -> None:
        try:
            before()
            duty.work()
        except Exception as fault:
            # The duty is due again soon; until then nothing is lost, since nothing was committed.
            if fault_of(fault) is Fault.STAYS:
                log.exception("duty failed", extra={"duty": duty.name})
            else:
                facts = {"action": "environment", "duty": duty.name, "error": said_by(fault)}
                log.error("duty failed: the environment is at fault", extra=facts)

    return call

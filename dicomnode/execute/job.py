"""A claimed job: its lease, its folder, the workers that are asked for it, and how it fails.

Who loses the lease (the job was superseded, cancelled or taken over) writes nothing more: every change is guarded by
the claim's token.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dicomnode.config.whole import Config
from dicomnode.environment import PASSING, Fault
from dicomnode.errors import RunTimedOut, WorkerCrashed
from dicomnode.execute.backends.contract import Backend
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.limits import refusal_of_death
from dicomnode.execute.plan import Plan
from dicomnode.execute.tasks import Failure, ReadTask, Reply, Task
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import (
    Claim,
    count_postponed,
    count_postponed_in_a_row,
    give_way,
    heartbeat,
    is_stat_waiting,
    postpone_job,
    require_lease,
)
from dicomnode.store.queue.runs import RunRow, fail_job
from dicomnode.store.storage import Storage

log = logging.getLogger(__name__)

STOP_GRACE_S = 0.3
"""A service manager may end worker and node in one go: this long the node waits to hear that it was meant, too."""
LOOK_S = 1.0
POSTPONED_MAX_S = 300.0
"""A job that the environment holds up is tried again this often at least."""
OUT_OF_MEMORY_MAX = 10
"""A job for which memory does not suffice so often in a row ends, with the shipped pauses after some 25 minutes: other
programs may have taken the memory for a while, but a job that needs more than there is would be tried for ever."""
MEMORY_S = 3600.0
"""How long a postponed job is remembered as such: later faults begin with short pauses again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What a dispatcher works with.

    Attributes
    ----------
    backend : runs the models.
    case_worker : reads images, encodes, writes notes.
    spool : whether it is there.
    stop : set when the node is to stop.
    takes_more : whether another job is taken once this one is over: not by a node that is drained.
    """

    config: Config
    store: Store
    backend: Backend
    case_worker: ChildProcess
    spool: Storage
    plans: dict[str, Plan]
    stop: threading.Event
    takes_more: Callable[[], bool] = lambda: True


class ClaimedJob:
    """A job under a lease.

    Attributes
    ----------
    facts : what a log line says of it.
    folder : of this claim alone: a worker that lost its lease cannot touch the files of its successor.
    tick : extends the lease while a worker is waited for.
    """

    def __init__(self, at: Workplace, claim: Claim) -> None:
        self.at, self.claim = at, claim
        self.facts = {"job_id": claim.job_id, "study_uid": claim.study_uid, "protocol": claim.protocol}
        self.folder = at.config.work_dir.absolute() / f"job-{claim.job_id}" / f"claim-{claim.token}"
        self.tick = Heartbeat(at.store, claim, at.config.execution.lease_s)

    @property
    def timeout_s(self) -> float:
        """How long a worker may take for one task."""
        return self.at.config.execution.run_timeout_s

    def ask(self, task: Task, doing: str) -> Reply | None:
        """The case worker's answer; None where it died or took too long, which is recorded.

        Images that are the worker's death are refused: they would be again.

        Parameters
        ----------
        doing : what for, as the error says it.

        Raises
        ------
        LeaseLost : the job was superseded, cancelled or taken over.
        """
        try:
            return self.at.case_worker.ask(task, timeout_s=self.timeout_s, tick=self.tick)
        except (WorkerCrashed, RunTimedOut) as fault:
            if self.is_stopping():
                return None
            refused = refusal_of_death(fault.by_signal) if isinstance(fault, WorkerCrashed) else None
            if refused is not None and isinstance(task, ReadTask):
                return Failure(str(refused), refusal=refused.refusal, detail=refused.detail)
            self.fail(f"{doing}: {fault}")
            return None

    def gives_way(self) -> bool:
        """Whether the job was queued again since a stat one waits; what has succeeded of it is not done again.

        To be asked where something has succeeded: so each claim brings a job further, however many are stat.

        Raises
        ------
        LeaseLost : the job was superseded, cancelled or taken over.
        """
        if self.claim.is_stat or not self.at.takes_more():
            return False
        with self.at.store.read() as session:
            if not is_stat_waiting(session, answer_wait_s=answer_wait_s(self.at.config)):
                return False
        with self.at.store.write() as session:
            give_way(session, self.claim)
        log.info("job gives way to a stat job", extra=self.facts)
        return True

    def is_stopping(self) -> bool:
        """Whether a worker ended together with the node: nobody's fault, and the next start takes the lease back."""
        return self.at.stop.wait(STOP_GRACE_S)

    def fail(self, error: str, *, run: RunRow | None = None, retry: bool = True, redo_runs: bool = False) -> None:
        """Record a failure; the job is tried again after a pause that doubles, until its attempts are used up.

        Parameters
        ----------
        run : that failed; None where none did.
        retry : False where no attempt could ever succeed.
        redo_runs : the findings on disk are of no use.

        Raises
        ------
        LeaseLost : the job was superseded, cancelled or taken over.
        """
        execution, claim = self.at.config.execution, self.claim
        again = retry and claim.attempts < execution.max_attempts
        retry_at = time.time() + execution.retry_min_s * 2 ** (claim.attempts - 1) if again else None
        with self.at.store.write() as session:
            fail_job(session, claim, run=run, error=error, retry_at=retry_at, redo_runs=redo_runs)
        log.error("job failed", extra={**self.facts, "reason": error, "again": again})

    def is_held_up(self, failure: Failure) -> bool:
        """Whether the environment is at fault, not the job: a file is missing together with its whole spool, say."""
        if failure.fault is Fault.ABSENT:
            return not self.at.spool.is_there()
        return failure.fault in PASSING

    def postpone(self, reason: str, fault: Fault) -> None:
        """Try again after a pause that doubles, as often as it takes: what passes ends no job and costs it no attempt.

        Too little memory may pass, too, but ends the job at the tenth time in a row.

        Raises
        ------
        LeaseLost : the job was superseded, cancelled or taken over.
        """
        now = time.time()
        if fault is Fault.MEMORY and self._was_out_of_memory() >= OUT_OF_MEMORY_MAX - 1:
            self.fail(f"out of memory {OUT_OF_MEMORY_MAX} times in a row: {reason}", retry=False)
            return
        with self.at.store.write() as session:
            before = count_postponed(session, self.claim.job_id, since=now - MEMORY_S)
            pause_s = min(POSTPONED_MAX_S, self.at.config.execution.retry_min_s * 2.0 ** min(before, 30))
            postpone_job(session, self.claim, reason=reason, fault=fault, retry_at=now + pause_s)
        facts = {**self.facts, "action": "environment", "reason": reason, "retry_s": pause_s}
        log.error("job postponed: the environment failed", extra=facts)

    def _was_out_of_memory(self) -> int:
        with self.at.store.read() as session:
            return count_postponed_in_a_row(session, self.claim.job_id, fault=Fault.MEMORY)


def answer_wait_s(config: Config) -> float:
    """How long an analysis is left for what a FHIR server was asked about its patient."""
    fhir = config.clinical.fhir
    return fhir.wait_s if fhir.base_url else 0.0


class Heartbeat:
    """Extends the lease at a third of its length, and looks every second whether it is still held.

    Only the former writes: a worker that is busy must not cost the database a commit each second.
    """

    def __init__(self, store: Store, claim: Claim, lease_s: float) -> None:
        self.store, self.claim, self.lease_s = store, claim, lease_s
        self.next_beat = time.monotonic() + lease_s / 3
        self.next_look = time.monotonic() + LOOK_S

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self.next_beat:
            with self.store.write() as session:
                heartbeat(session, self.claim, lease_s=self.lease_s)
            self.next_beat = time.monotonic() + self.lease_s / 3
        elif now >= self.next_look:
            with self.store.read() as session:
                require_lease(session, self.claim)
            self.next_look = time.monotonic() + LOOK_S

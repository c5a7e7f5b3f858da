"""One dispatcher per device: claim a job, have it worked on by the backend and the case worker."""

from __future__ import annotations

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from dicomnode.config.whole import Config
from dicomnode.environment import Fault, fault_of, said_by
from dicomnode.errors import InferenceError, LeaseLost
from dicomnode.execute.analysis import analyse
from dicomnode.execute.backends.contract import Backend
from dicomnode.execute.backends.in_child import ChildBackend
from dicomnode.execute.backends.local import LocalBackend, ModelWorkerSettings
from dicomnode.execute.backends.ray_cluster import RayBackend, RaySettings
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.job import ClaimedJob, Workplace, answer_wait_s
from dicomnode.execute.plan import Plan, plans_of
from dicomnode.execute.results import write_note
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import Claim, claim_job
from dicomnode.store.states import JobTask
from dicomnode.store.storage import Storage

log = logging.getLogger(__name__)

IDLE_S = 0.2
CASE_WORKER = "dicomnode.execute.case_worker"


class Dispatcher:
    """Feeds one backend and one case worker.

    Parameters
    ----------
    owner : names this node in leases, so that a restart can take its own leases back at once.
    device : ``auto``, ``cpu`` or ``cuda:N``; a name, nothing more, where the configuration names another backend.

    Attributes
    ----------
    fault : why a worker could not start last time; empty while both can.
    takes_jobs : set to False, what runs is finished and nothing more is begun.
    is_busy : whether a job may be under way.

    Raises
    ------
    ConfigError : see :func:`~dicomnode.execute.plan.plans_of`.
    """

    def __init__(self, config: Config, store: Store, *, owner: str, device: str) -> None:
        self.config = config
        self.store = store
        self.owner, self.device = owner, device
        self.fault = ""
        self.takes_jobs, self.is_busy = True, False
        self.plans: dict[str, Plan] = plans_of(config)
        self.spool = Storage(store, config.spool_dir)
        self._claiming, self._after_stat = threading.Lock(), False
        self._stop, self._retired = threading.Event(), threading.Event()
        self.backend: Backend = backend_of(config, device)
        self.case_worker = case_worker(config)

    @property
    def is_working(self) -> bool:
        """Whether the models are loaded."""
        return self.backend.is_running and bool(self.backend.models)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop or to retire; a worker that cannot start is tried again."""
        self._stop = stop
        try:
            while not (stop.is_set() or self._retired.is_set()):
                if not self._step_or_wait():
                    stop.wait(IDLE_S)
        finally:
            self.backend.kill()
            self.case_worker.kill()

    def retire(self) -> None:
        """Take no further job: :meth:`run` returns when the one at hand is finished, however long that takes.

        Once this has returned none is claimed any more: what comes from now on may be of protocols unknown here.
        """
        with self._claiming:
            self._retired.set()

    def _step_or_wait(self) -> bool:
        try:
            return self.step()
        except SQLAlchemyError as fault:
            # The lease runs out and the job is queued again: nothing to undo.
            log.error("database away", extra={"action": "environment", "error": said_by(fault)})
            self._stop.wait(self.config.execution.retry_min_s)
            return False

    def step(self) -> bool:
        """Take one job through its runs and its encoding; False when there was nothing to do."""
        # In this order: who sets the one and then looks at the other never misses a job.
        self.is_busy = True
        try:
            return self.takes_jobs and self._take_one()
        finally:
            self.is_busy = False

    def _take_one(self) -> bool:
        if not self._start_workers() or not self.spool.is_there():
            return False
        claim = self._claim()
        if claim is None:
            return False
        job = ClaimedJob(self._workplace(), claim)
        log.info("job claimed", extra=job.facts)
        try:
            _do(job)
        except LeaseLost:
            log.warning("job lost to a newer one", extra=job.facts)
        return True

    def _claim(self) -> Claim | None:
        lease_s, wait_s = self.config.execution.lease_s, answer_wait_s(self.config)
        with self._claiming:
            if self._retired.is_set():
                return None
            with self.store.write() as session:
                claim = claim_job(
                    session, owner=self.owner, lease_s=lease_s, answer_wait_s=wait_s, after_stat=self._after_stat
                )
            self._after_stat = claim is not None and claim.is_stat
            return claim

    def _workplace(self) -> Workplace:
        return Workplace(
            config=self.config,
            store=self.store,
            backend=self.backend,
            case_worker=self.case_worker,
            spool=self.spool,
            plans=self.plans,
            stop=self._stop,
            takes_more=lambda: self.takes_jobs and not self._retired.is_set(),
        )

    def _start_workers(self) -> bool:
        """Whether both run now; they load at the same time."""
        starting: list[Backend | ChildProcess] = []
        starting += [] if self.backend.is_running else [self.backend]
        starting += [] if self.case_worker.is_running else [self.case_worker]
        try:
            for worker in starting:
                worker.launch()
            for worker in starting:
                worker.wait_until_ready()
        except InferenceError as fault:
            if str(fault) != self.fault:  # it is tried again and again
                log.error("worker cannot start", extra={"reason": str(fault)})
            self.fault = str(fault)
            self._stop.wait(self.config.execution.retry_min_s)
            return False
        self.fault = ""
        return True


def _do(job: ClaimedJob) -> None:
    """Work on a job; what fails in the supervisor itself costs the job, never the node.

    Raises
    ------
    LeaseLost : the job was superseded, cancelled or taken over.
    SQLAlchemyError : the database is away, so that nothing can be recorded; the lease runs out.
    """
    try:
        analyse(job) if job.claim.task == JobTask.ANALYSIS else write_note(job)
    except (OSError, MemoryError) as fault:
        job.postpone(said_by(fault), fault_of(fault))
    except SQLAlchemyError as fault:
        if fault_of(fault) is not Fault.STAYS:
            raise
        # Not the message: it may quote a value.
        job.fail(f"the database takes no such row ({type(fault).__name__})")


def backend_of(config: Config, device: str) -> ChildBackend:
    """The backend of a configuration with every model that a protocol names.

    Parameters
    ----------
    device : of this machine; a Ray cluster has its own.
    """
    execution = config.execution
    if execution.backend == "local":
        return LocalBackend(_settings(config, device), start_timeout_s=execution.start_timeout_s)
    settings = RaySettings(
        address=execution.ray.address,
        gpus=execution.ray.gpus,
        cpus=execution.ray.cpus,
        # Ray shows an actor the cards that it may use, and no other
        models=_settings(config, "cuda:0" if execution.ray.gpus else "cpu"),
        start_timeout_s=execution.start_timeout_s,
    )
    return RayBackend(settings, start_timeout_s=execution.start_timeout_s)


def _settings(config: Config, device: str) -> ModelWorkerSettings:
    models = tuple(sorted({model for protocol in config.protocol for model in protocol.models}))
    return ModelWorkerSettings(
        device=device,
        models=models,
        zoo_paths=tuple(path.absolute() for path in config.bundle_paths),
        zoo_digests=config.zoo.digests,
        zoo_thresholds=config.zoo.thresholds,
        zoo_horizons_h=config.zoo.horizons_h,
        cpu_threads=config.execution.cpu_threads,
        precision=config.execution.precision,
    )


def case_worker(config: Config) -> ChildProcess:
    """The process that reads images and encodes."""
    return ChildProcess(CASE_WORKER, None, start_timeout_s=config.execution.start_timeout_s)

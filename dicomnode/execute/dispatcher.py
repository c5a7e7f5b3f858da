"""One dispatcher per device: claim a job, have its runs and its encoding done by the worker, record every outcome.

The job's lease is extended while the worker works. Whoever loses the lease (the job was superseded, cancelled or taken
over) kills the worker's task and writes nothing more.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.errors import InferenceError, JobError, LeaseLost, RunTimedOut, WorkerCrashed
from dicomnode.execute.notes import delivery_to, prepare_note
from dicomnode.execute.process import Settings, WorkerProcess
from dicomnode.execute.tasks import (
    FINDINGS,
    EncodeReply,
    EncodeTask,
    Failure,
    NotPerformedTask,
    RejectionTask,
    RunReply,
    RunTask,
    Source,
)
from dicomnode.store.deliver import fallback
from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import Claim, claim_job, heartbeat
from dicomnode.store.queue.notes import drop_note
from dicomnode.store.queue.rejections import predecessors
from dicomnode.store.queue.runs import (
    RunRow,
    fail_job,
    finish_run,
    pending_runs,
    refuse_job,
    source_paths,
    start_run,
    succeeded_findings,
)
from dicomnode.store.states import JobTask

log = logging.getLogger(__name__)

IDLE_S = 0.2
STOP_GRACE_S = 0.3
"""A service manager may end worker and node in one go: this long the node waits to hear that it was meant, too."""
CRASHES_TO_QUARANTINE = 2


class Dispatcher:
    """Feeds one worker process.

    Parameters
    ----------
    owner : names this node in leases, so that a restart can take its own leases back at once.
    device : ``auto``, ``cpu`` or ``cuda:N``.

    Attributes
    ----------
    fault : why the worker could not start last time; empty while it can.
    """

    def __init__(self, config: Config, store: Store, *, owner: str, device: str) -> None:
        self.config = config
        self.store = store
        self.owner = owner
        self.fault = ""
        self._stop = threading.Event()
        self.worker = WorkerProcess(worker_settings(config, device), start_timeout_s=config.execution.start_timeout_s)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; a worker that cannot start is tried again."""
        self._stop = stop
        try:
            while not stop.is_set():
                if not self._step_or_wait():
                    stop.wait(IDLE_S)
        finally:
            self.worker.kill()

    def _step_or_wait(self) -> bool:
        try:
            return self.step()
        except SQLAlchemyError:
            # The lease runs out and the job is queued again: nothing to undo.
            log.exception("database away")
            self._stop.wait(self.config.execution.retry_min_s)
            return False

    def step(self) -> bool:
        """Take one job through its runs and its encoding; False when there was nothing to do."""
        if self.worker.pid is None and not self._start_worker():
            return False
        with self.store.write() as session:
            claim = claim_job(session, owner=self.owner, lease_s=self.config.execution.lease_s)
        if claim is None:
            return False
        log.info("job claimed", extra=_facts(claim))
        try:
            self._work(claim)
        except LeaseLost:
            log.warning("job lost to a newer one", extra=_facts(claim))
        return True

    def _start_worker(self) -> bool:
        try:
            self.worker.start()
        except InferenceError as fault:
            self.fault = str(fault)
            log.error("worker cannot start", extra={"reason": self.fault})
            self._stop.wait(self.config.execution.retry_min_s)
            return False
        self.fault = ""
        return True

    def _work(self, claim: Claim) -> None:
        if claim.task != JobTask.ANALYSIS:
            self._write_note(claim)
            return
        protocol = self.config.protocol_named(claim.protocol)
        if protocol is None:
            self._fail(claim, f"the configuration has no protocol {claim.protocol!r} any more", retry=False)
            return
        source = self._source(claim)
        if source is None:
            self._fail(claim, "the images are no longer kept: their retention is over", retry=False)
            return
        for run in self._pending(claim):
            if not self._run(claim, run, source, keep_probability="probability" in kinds_taken(self.config, protocol)):
                return
        self._encode(claim, protocol, source)

    def _source(self, claim: Claim) -> Source | None:
        with self.store.read() as session:
            paths = source_paths(session, claim.series_id)
        spool = self.config.spool_dir.absolute()
        return Source(tuple(spool / path for path in paths), spool / paths[-1]) if paths else None

    def _pending(self, claim: Claim) -> list[RunRow]:
        with self.store.write() as session:
            return pending_runs(session, claim, self.worker.models)

    def _run(self, claim: Claim, run: RunRow, source: Source, *, keep_probability: bool) -> bool:
        findings = self._folder(claim) / f"{run.model}.npz"
        with self.store.write() as session:
            start_run(session, claim, run)
        try:
            reply = self.worker.ask(
                RunTask(run.model, source, findings, keep_probability),
                timeout_s=self.config.execution.run_timeout_s,
                tick=_Heartbeat(self.store, claim, self.config.execution.lease_s),
            )
        except (WorkerCrashed, RunTimedOut) as fault:
            self._crashed(claim, run, str(fault))
            return False
        if isinstance(reply, Failure):
            self._run_failed(claim, run, reply)
            return False
        assert isinstance(reply, RunReply)
        path = str(findings.relative_to(self.config.work_dir.absolute()))
        with self.store.write() as session:
            finish_run(session, claim, run, findings_path=path, digest=reply.model_digest, device=reply.device)
        log.info("run succeeded", extra={**_facts(claim), "model": run.model, "seconds": reply.seconds})
        return True

    def _crashed(self, claim: Claim, run: RunRow, error: str) -> None:
        if self._stop.wait(STOP_GRACE_S):
            return  # it was ended together with the node: nobody's fault, and the next start takes the lease back
        log.error("worker died during a run", extra={**_facts(claim), "model": run.model, "reason": error})
        with self.store.write() as session:
            fail_job(
                session,
                claim,
                run=run,
                error=error,
                crashed=True,
                quarantine=run.crashes + 1 >= CRASHES_TO_QUARANTINE,
                retry_at=time.time(),
            )

    def _run_failed(self, claim: Claim, run: RunRow, failure: Failure) -> None:
        if failure.refusal:
            with self.store.write() as session:
                refuse_job(session, claim, run=run, refusal=failure.refusal, detail=failure.detail)
            log.warning("job refused", extra={**_facts(claim), "refusal": failure.refusal})
            return
        self._fail(claim, failure.message, run=run)

    def _encode(self, claim: Claim, protocol: Protocol, source: Source) -> None:
        with self.store.read() as session:
            findings = succeeded_findings(session, claim.job_id)
            replaced = predecessors(session, claim.job_id)
            missing = fallback.missing_kinds(session, claim.job_id)
            taken = self._kinds_taken(session, protocol)
        task = EncodeTask(
            source=source,
            findings=tuple(self.config.work_dir.absolute() / path for path in findings),
            folder=self._folder(claim),
            protocol=protocol.name,
            settings_digest=settings_digest(protocol),
            generation=claim.generation,
            timezone=self.config.node.timezone,
            station_ae_title=self.config.node.ae_title,
            requested=tuple(sorted({*taken, *missing})),
            predecessors=tuple(replaced),
        )
        deliveries = [delivery_to(one) for one in self.config.destinations_of(protocol)]
        self._have_written(claim, task, deliveries, only=missing)

    def _write_note(self, claim: Claim) -> None:
        try:
            prepared = prepare_note(self.config, self.store, claim, self._folder(claim))
        except JobError as fault:
            self._fail(claim, str(fault), retry=False)
            return
        if prepared.task is None:
            with self.store.write() as session:
                drop_note(session, claim, reason=prepared.unwanted)
            return
        self._have_written(claim, prepared.task, prepared.deliveries)

    def _have_written(
        self,
        claim: Claim,
        task: EncodeTask | RejectionTask | NotPerformedTask,
        deliveries: Sequence[Delivery],
        *,
        only: Collection[str] = (),
    ) -> None:
        """Have the worker write results, and put them into the outbox.

        Parameters
        ----------
        only : kinds that were missing from a job which has its other results already; empty: all.
        """
        tick = _Heartbeat(self.store, claim, self.config.execution.lease_s)
        try:
            reply = self.worker.ask(task, timeout_s=self.config.execution.run_timeout_s, tick=tick)
        except (WorkerCrashed, RunTimedOut) as fault:
            if not self._stop.wait(STOP_GRACE_S):
                self._fail(claim, f"encoding: {fault}")
            return
        if isinstance(reply, Failure):
            self._fail(claim, f"encoding: {reply.message}", redo_runs=reply.stage == FINDINGS)
            return
        assert isinstance(reply, EncodeReply)
        self._store(claim, deliveries, reply, made=task.requested if isinstance(task, EncodeTask) else (), only=only)

    def _kinds_taken(self, session: Session, protocol: Protocol) -> set[str]:
        """By the configuration of the destinations, and by what they are known to refuse."""
        destinations = self.config.destinations_of(protocol)
        return {kind for one in destinations for kind in fallback.kinds_for(session, one.name, one.results)}

    def _store(
        self,
        claim: Claim,
        deliveries: Sequence[Delivery],
        reply: EncodeReply,
        *,
        made: Collection[str],
        only: Collection[str],
    ) -> None:
        data_dir = self.config.node.data_dir.absolute()
        wanted = [result for result in reply.results if not only or result.kind in only]
        results = [replace(result, path=result.path.absolute().relative_to(data_dir)) for result in wanted]
        with self.store.write() as session:
            store_results(session, claim, results, fallback.adapted(session, deliveries))
            fallback.send_stand_ins(session, claim.job_id, made=made)
        kinds = [result.kind for result in results]
        log.info("results encoded", extra={**_facts(claim), "kinds": kinds, "seconds": reply.seconds})

    def _fail(
        self, claim: Claim, error: str, *, run: RunRow | None = None, retry: bool = True, redo_runs: bool = False
    ) -> None:
        execution = self.config.execution
        again = retry and claim.attempts < execution.max_attempts
        retry_at = time.time() + execution.retry_min_s * 2 ** (claim.attempts - 1) if again else None
        with self.store.write() as session:
            fail_job(session, claim, run=run, error=error, retry_at=retry_at, redo_runs=redo_runs)
        log.error("job failed", extra={**_facts(claim), "reason": error, "again": again})

    def _folder(self, claim: Claim) -> Path:
        """A folder of this claim alone: a worker that lost its lease cannot touch the files of its successor."""
        return self.config.work_dir.absolute() / f"job-{claim.job_id}" / f"claim-{claim.token}"


class _Heartbeat:
    """Extends the lease at a third of its length; raises LeaseLost when it is gone."""

    def __init__(self, store: Store, claim: Claim, lease_s: float) -> None:
        self.store, self.claim, self.lease_s = store, claim, lease_s
        self.next = time.monotonic() + min(1.0, lease_s / 3)

    def __call__(self) -> None:
        if time.monotonic() < self.next:
            return
        with self.store.write() as session:
            heartbeat(session, self.claim, lease_s=self.lease_s)
        self.next = time.monotonic() + min(1.0, self.lease_s / 3)


def worker_settings(config: Config, device: str) -> Settings:
    """What a worker of this configuration loads: every model that a protocol names."""
    models = tuple(sorted({model for protocol in config.protocol for model in protocol.models}))
    return Settings(device, models, config.bundle_paths, config.zoo.digests, config.execution.cpu_threads)


def kinds_taken(config: Config, protocol: Protocol) -> tuple[str, ...]:
    """Kinds of result that any destination of a protocol takes."""
    return tuple(sorted({kind for destination in config.destinations_of(protocol) for kind in destination.results}))


def settings_digest(protocol: Protocol) -> str:
    """Digest of what in a protocol shapes a result: its models. Where the results go does not."""
    return hashlib.sha256(json.dumps({"models": protocol.models}, sort_keys=True).encode()).hexdigest()


def _facts(claim: Claim) -> dict[str, object]:
    return {"job_id": claim.job_id, "study_uid": claim.study_uid, "protocol": claim.protocol}

"""One claimed analysis: read the images, run the models, encode, put the results into the outbox; record every outcome.

The lease is extended while others work. Who loses it (the job was superseded, cancelled or taken over) writes nothing
more: every change is guarded by the claim's token.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.errors import JobError, RunTimedOut, WorkerCrashed
from dicomnode.execute.backends.contract import Backend
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.notes import delivery_to, prepare_note
from dicomnode.execute.plan import Plan, givers_of, identities
from dicomnode.execute.tasks import (
    FINDINGS,
    EncodeReply,
    EncodeTask,
    Failure,
    InferReply,
    InferTask,
    NotPerformedTask,
    ReadReply,
    ReadTask,
    RejectionTask,
    Source,
    Task,
)
from dicomnode.records import PatientContext
from dicomnode.store.deliver import fallback
from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import Claim, heartbeat, require_lease
from dicomnode.store.queue.notes import drop_note
from dicomnode.store.queue.rejections import predecessors
from dicomnode.store.queue.runs import (
    RunIdentity,
    RunRow,
    fail_job,
    findings_by_model,
    finish_run,
    pending_runs,
    refuse_job,
    source_paths,
    start_run,
    succeeded_findings,
)
from dicomnode.zoo.bundle import BundleManifest

log = logging.getLogger(__name__)

STOP_GRACE_S = 0.3
"""A service manager may end worker and node in one go: this long the node waits to hear that it was meant, too."""
CRASHES_TO_QUARANTINE = 2
LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What a dispatcher works with.

    Attributes
    ----------
    backend : runs the models.
    case_worker : reads images, encodes, writes notes.
    stop : set when the node is to stop.
    """

    config: Config
    store: Store
    backend: Backend
    case_worker: ChildProcess
    plans: dict[str, Plan]
    stop: threading.Event


class ClaimedJob:
    """A job under a lease, and everything that is done to it."""

    def __init__(self, at: Workplace, claim: Claim) -> None:
        self.at, self.claim = at, claim
        self.facts = {"job_id": claim.job_id, "study_uid": claim.study_uid, "protocol": claim.protocol}
        self.folder = at.config.work_dir.absolute() / f"job-{claim.job_id}" / f"claim-{claim.token}"
        """Of this claim alone: a worker that lost its lease cannot touch the files of its successor."""
        self._tick = _Heartbeat(at.store, claim, at.config.execution.lease_s)

    def analyse(self) -> None:
        """Take an analysis through its runs and its encoding.

        Raises
        ------
        LeaseLost : the job was superseded, cancelled or taken over.
        """
        protocol = self.at.config.protocol_named(self.claim.protocol)
        if protocol is None:
            self._fail(f"the configuration has no protocol {self.claim.protocol!r} any more", retry=False)
            return
        source = self._source()
        if source is None:
            self._fail("the images are no longer kept: their retention is over", retry=False)
            return
        read = self._read(source)
        if read is not None and self._run_all(protocol, read.context):
            self._encode(protocol, source)

    def _source(self) -> Source | None:
        with self.at.store.read() as session:
            paths = source_paths(session, self.claim.series_id)
        spool = self.at.config.spool_dir.absolute()
        return Source(tuple(spool / path for path in paths), spool / paths[-1]) if paths else None

    @property
    def _volume(self) -> Path:
        return self.folder / "volume.npz"

    def _read(self, source: Source) -> ReadReply | None:
        """The volume on disk and the header's context; None where the job ended here."""
        reply = self._ask(ReadTask(source, self._volume), "reading the images")
        if reply is None:
            return None
        if isinstance(reply, Failure):
            self._ended(reply, None)
            return None
        assert isinstance(reply, ReadReply)
        return reply

    def _ask(self, task: Task, doing: str) -> object | None:
        """The case worker's answer; None where it died, which is recorded."""
        try:
            return self.at.case_worker.ask(task, timeout_s=self._timeout_s, tick=self._tick)
        except (WorkerCrashed, RunTimedOut) as fault:
            if not self.at.stop.wait(STOP_GRACE_S):
                self._fail(f"{doing}: {fault}")
            return None

    @property
    def _timeout_s(self) -> float:
        return self.at.config.execution.run_timeout_s

    def _run_all(self, protocol: Protocol, context: PatientContext) -> bool:
        """Whether every run of the job has succeeded now."""
        plan = self.at.plans[protocol.name]
        wanted = identities(plan, self.at.backend.models, context)
        with self.at.store.write() as session:
            rows = {row.model: row for row in pending_runs(session, self.claim, wanted)}
        keep_probability = "probability" in kinds_taken(self.at.config, protocol)
        return all(
            self._run(rows[manifest.name], self._infer_task(manifest, plan, context, keep_probability), wanted)
            for manifest in plan
            if manifest.name in rows
        )

    def _infer_task(
        self, manifest: BundleManifest, plan: Plan, context: PatientContext, keep_probability: bool
    ) -> InferTask:
        with self.at.store.read() as session:
            found = findings_by_model(session, self.claim.job_id)
        work = self.at.config.work_dir.absolute()
        return InferTask(
            model=manifest.name,
            volume=None if manifest.needs.image is None else self._volume,
            context=context,
            earlier=tuple(work / found[name] for name in givers_of(manifest, plan)),
            findings=self.folder / f"{manifest.name}.npz",
            keep_probability=keep_probability,
        )

    def _run(self, row: RunRow, task: InferTask, wanted: dict[str, RunIdentity]) -> bool:
        with self.at.store.write() as session:
            start_run(session, self.claim, row)
        try:
            reply = self.at.backend.infer(task, timeout_s=self._timeout_s, tick=self._tick)
        except (WorkerCrashed, RunTimedOut) as fault:
            self._crashed(row, str(fault))
            return False
        if isinstance(reply, Failure):
            self._ended(reply, row)
            return False
        self._succeeded(row, task, reply, wanted[row.model].inputs_digest)
        return True

    def _succeeded(self, row: RunRow, task: InferTask, reply: InferReply, inputs_digest: str) -> None:
        path = str(task.findings.relative_to(self.at.config.work_dir.absolute()))
        identity = RunIdentity(reply.model_digest, inputs_digest)
        with self.at.store.write() as session:
            finish_run(session, self.claim, row, findings_path=path, identity=identity, device=reply.device)
        log.info("run succeeded", extra={**self.facts, "model": row.model, "seconds": reply.seconds})

    def _crashed(self, row: RunRow, error: str) -> None:
        if self.at.stop.wait(STOP_GRACE_S):
            return  # it was ended together with the node: nobody's fault, and the next start takes the lease back
        log.error("worker died during a run", extra={**self.facts, "model": row.model, "reason": error})
        with self.at.store.write() as session:
            fail_job(
                session,
                self.claim,
                run=row,
                error=error,
                crashed=True,
                quarantine=row.crashes + 1 >= CRASHES_TO_QUARANTINE,
                retry_at=time.time(),
            )

    def _ended(self, failure: Failure, row: RunRow | None) -> None:
        """The images are at fault, or the model is."""
        if failure.refusal:
            with self.at.store.write() as session:
                refuse_job(session, self.claim, run=row, refusal=failure.refusal, detail=failure.detail)
            log.warning("job refused", extra={**self.facts, "refusal": failure.refusal})
            return
        self._fail(failure.message, run=row, redo_runs=failure.stage == FINDINGS)

    def _encode(self, protocol: Protocol, source: Source) -> None:
        config = self.at.config
        with self.at.store.read() as session:
            findings = succeeded_findings(session, self.claim.job_id)
            replaced = predecessors(session, self.claim.job_id)
            missing = fallback.missing_kinds(session, self.claim.job_id)
            taken = self._kinds_taken(session, protocol)
        task = EncodeTask(
            source=source,
            findings=tuple(config.work_dir.absolute() / path for path in findings),
            folder=self.folder,
            protocol=protocol.name,
            settings_digest=settings_digest(protocol),
            generation=self.claim.generation,
            timezone=config.node.timezone,
            station_ae_title=config.node.ae_title,
            requested=tuple(sorted({*taken, *missing})),
            predecessors=tuple(replaced),
        )
        self._volume.unlink(missing_ok=True)
        deliveries = [delivery_to(one) for one in config.destinations_of(protocol)]
        self._have_written(task, deliveries, only=missing)

    def write_note(self) -> None:
        """Have a note about results written: a rejection, or that nothing was done.

        Raises
        ------
        LeaseLost : the job was taken over.
        """
        try:
            prepared = prepare_note(self.at.config, self.at.store, self.claim, self.folder, self._is_research)
        except JobError as fault:
            self._fail(str(fault), retry=False)
            return
        if prepared.task is None:
            with self.at.store.write() as session:
                drop_note(session, self.claim, reason=prepared.unwanted)
            return
        self._have_written(prepared.task, prepared.deliveries)

    @property
    def _is_research(self) -> bool:
        """Whether any model of the claim's protocol is; so it is, too, where the protocol is gone."""
        plan = self.at.plans.get(self.claim.protocol, ())
        return not plan or any(manifest.research for manifest in plan)

    def _have_written(
        self,
        task: EncodeTask | RejectionTask | NotPerformedTask,
        deliveries: Sequence[Delivery],
        *,
        only: Collection[str] = (),
    ) -> None:
        """Have results written, and put them into the outbox.

        Parameters
        ----------
        only : kinds that were missing from a job which has its other results already; empty: all.
        """
        reply = self._ask(task, "encoding")
        if isinstance(reply, Failure):
            self._fail(f"encoding: {reply.message}", redo_runs=reply.stage == FINDINGS)
        elif isinstance(reply, EncodeReply):
            made = task.requested if isinstance(task, EncodeTask) else ()
            self._store(deliveries, reply, made=made, only=only)

    def _kinds_taken(self, session: Session, protocol: Protocol) -> set[str]:
        """By the configuration of the destinations, and by what they are known to refuse."""
        destinations = self.at.config.destinations_of(protocol)
        return {kind for one in destinations for kind in fallback.kinds_for(session, one.name, one.results)}

    def _store(
        self, deliveries: Sequence[Delivery], reply: EncodeReply, *, made: Collection[str], only: Collection[str]
    ) -> None:
        data_dir = self.at.config.node.data_dir.absolute()
        wanted = [result for result in reply.results if not only or result.kind in only]
        results = [replace(result, path=result.path.absolute().relative_to(data_dir)) for result in wanted]
        with self.at.store.write() as session:
            store_results(session, self.claim, results, fallback.adapted(session, deliveries))
            fallback.send_stand_ins(session, self.claim.job_id, made=made)
        kinds = [result.kind for result in results]
        log.info("results encoded", extra={**self.facts, "kinds": kinds, "seconds": reply.seconds})

    def _fail(self, error: str, *, run: RunRow | None = None, retry: bool = True, redo_runs: bool = False) -> None:
        execution, claim = self.at.config.execution, self.claim
        again = retry and claim.attempts < execution.max_attempts
        retry_at = time.time() + execution.retry_min_s * 2 ** (claim.attempts - 1) if again else None
        with self.at.store.write() as session:
            fail_job(session, claim, run=run, error=error, retry_at=retry_at, redo_runs=redo_runs)
        log.error("job failed", extra={**self.facts, "reason": error, "again": again})


class _Heartbeat:
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


def kinds_taken(config: Config, protocol: Protocol) -> tuple[str, ...]:
    """Kinds of result that any destination of a protocol takes."""
    return tuple(sorted({kind for destination in config.destinations_of(protocol) for kind in destination.results}))


def settings_digest(protocol: Protocol) -> str:
    """Digest of what in a protocol shapes a result: its models. Where the results go does not."""
    return hashlib.sha256(json.dumps({"models": protocol.models}, sort_keys=True).encode()).hexdigest()

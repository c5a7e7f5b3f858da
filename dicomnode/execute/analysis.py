"""An analysis from its images to its findings: read the series, run the models in the order of their needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from dicomnode.config.protocols import Protocol
from dicomnode.errors import RunTimedOut, WorkerCrashed
from dicomnode.execute.context import context_of
from dicomnode.execute.job import ClaimedJob
from dicomnode.execute.plan import Plan, givers_of, identities
from dicomnode.execute.results import kinds_taken, write_results
from dicomnode.execute.tasks import FINDINGS, Failure, InferReply, InferTask, ReadReply, ReadTask, Source
from dicomnode.kinds import Kind
from dicomnode.records import PatientContext
from dicomnode.store.queue.runs import (
    RunIdentity,
    RunRow,
    fail_job,
    findings_by_model,
    finish_run,
    keep_level,
    pending_runs,
    refuse_job,
    source_paths,
    start_run,
)
from dicomnode.zoo.bundle import BundleManifest

log = logging.getLogger(__name__)

CRASHES_TO_QUARANTINE = 2
VOLUME = "volume.npz"


def analyse(job: ClaimedJob) -> None:
    """Take an analysis through its runs and its encoding; every outcome is recorded.

    Raises
    ------
    LeaseLost : the job was superseded, cancelled or taken over.
    """
    protocol = job.at.config.protocol_named(job.claim.protocol)
    if protocol is None:
        job.fail(f"the configuration has no protocol {job.claim.protocol!r} any more", retry=False)
        return
    source = _source(job)
    if source is None:
        job.fail("the images are no longer kept: their retention is over", retry=False)
        return
    _forget_volumes(job)
    header = _read(job, source, None)
    context = None if header is None else context_of(job, header)
    if context is not None and _Runs(job, protocol, source, context).all_succeed():
        write_results(job, protocol, source, context)


def _forget_volumes(job: ClaimedJob) -> None:
    """Claims of this job that ended by a kill left theirs behind: tens of megabytes each, of no use to anyone."""
    for left in job.folder.parent.glob(f"*/{VOLUME}"):
        left.unlink(missing_ok=True)


def _source(job: ClaimedJob) -> Source | None:
    with job.at.store.read() as session:
        paths = source_paths(session, job.claim.series_id)
    spool = job.at.config.spool_dir.absolute()
    return Source(tuple(spool / path for path in paths), spool / paths[-1]) if paths else None


def _read(job: ClaimedJob, source: Source, volume: Path | None) -> ReadReply | None:
    """The worker's answer; None where the job ended here."""
    node = job.at.config.node
    reply = job.ask(ReadTask(source, volume, node.timezone, node.provisional_names), "reading the images")
    if isinstance(reply, Failure):
        _ended(job, reply, None)
    return reply if isinstance(reply, ReadReply) else None


def _ended(job: ClaimedJob, failure: Failure, row: RunRow | None) -> None:
    """The environment is at fault, or the images, or the model."""
    if job.is_held_up(failure):
        job.postpone(failure.message, failure.fault)
        return
    if not failure.refusal:
        job.fail(failure.message, run=row, redo_runs=failure.stage == FINDINGS)
        return
    with job.at.store.write() as session:
        refuse_job(session, job.claim, run=row, refusal=failure.refusal, detail=failure.detail)
    log.warning("job refused", extra={**job.facts, "refusal": failure.refusal})


class _Runs:
    """The runs of one job."""

    def __init__(self, job: ClaimedJob, protocol: Protocol, source: Source, context: PatientContext) -> None:
        self.job, self.source, self.context = job, source, context
        self.volume = job.folder / VOLUME
        self.plan: Plan = job.at.plans[protocol.name]
        self.keep_probability = Kind.PROBABILITY in kinds_taken(job.at.config, protocol)
        self.wanted: Mapping[str, RunIdentity] = identities(self.plan, job.at.backend.models, context)
        self.work_dir = job.at.config.work_dir.absolute()

    def all_succeed(self) -> bool:
        """Do those that are to be done; whether every run of the job has succeeded now, and it gave way to none."""
        with self.job.at.store.write() as session:
            rows = {row.model: row for row in pending_runs(session, self.job.claim, self.wanted)}
        return not rows or self._do(rows)

    def _do(self, rows: Mapping[str, RunRow]) -> bool:
        try:
            read = _read(self.job, self.source, self.volume)
            if read is None:
                return False
            with self.job.at.store.write() as session:
                keep_level(session, self.job.claim, brain_hu=read.brain_hu)
            # Before the next run, and before what was found is encoded: a stat job waits for one run, not for that.
            return all(
                self._run(rows[manifest.name], manifest) and not self.job.gives_way()
                for manifest in self.plan
                if manifest.name in rows
            )
        finally:
            self.volume.unlink(missing_ok=True)

    def _run(self, row: RunRow, manifest: BundleManifest) -> bool:
        task, limit_s = self._task(manifest), manifest.limit_s(self.job.timeout_s)
        with self.job.at.store.write() as session:
            start_run(session, self.job.claim, row)
        try:
            reply = self.job.at.backend.infer(task, timeout_s=limit_s, tick=self.job.tick)
        except (WorkerCrashed, RunTimedOut) as fault:
            self._crashed(row, str(fault))
            return False
        if isinstance(reply, Failure):
            _ended(self.job, reply, row)
            return False
        self._succeeded(row, task, reply)
        return True

    def _task(self, manifest: BundleManifest) -> InferTask:
        with self.job.at.store.read() as session:
            found = findings_by_model(session, self.job.claim.job_id)
        return InferTask(
            model=manifest.name,
            volume=None if manifest.needs.image is None else self.volume,
            context=self.context,
            earlier=tuple(self.work_dir / found[name] for name in givers_of(manifest, self.plan)),
            findings=self.job.folder / f"{manifest.name}.npz",
            keep_probability=self.keep_probability,
        )

    def _succeeded(self, row: RunRow, task: InferTask, reply: InferReply) -> None:
        path = str(task.findings.relative_to(self.work_dir))
        identity = RunIdentity(reply.model_digest, self.wanted[row.model].inputs_digest)
        with self.job.at.store.write() as session:
            finish_run(
                session,
                self.job.claim,
                row,
                findings_path=path,
                identity=identity,
                device=reply.device,
                outcomes=reply.outcomes,
                scores=reply.scores,
                made_do=reply.made_do,
            )
        if reply.made_do:
            log.warning("too little memory", extra={**self.job.facts, "model": row.model, "made_do": reply.made_do})
        log.info("run succeeded", extra={**self.job.facts, "model": row.model, "seconds": reply.seconds})

    def _crashed(self, row: RunRow, error: str) -> None:
        if self.job.is_stopping():
            return
        log.error("worker died during a run", extra={**self.job.facts, "model": row.model, "reason": error})
        with self.job.at.store.write() as session:
            fail_job(
                session,
                self.job.claim,
                run=row,
                error=error,
                crashed=True,
                quarantine=row.crashes + 1 >= CRASHES_TO_QUARANTINE,
                retry_at=time.time(),
            )

"""From the findings of a job to rows of the outbox: results are encoded, notes about results are written."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.errors import JobError
from dicomnode.execute.job import ClaimedJob
from dicomnode.execute.notes import delivery_to, prepare_note
from dicomnode.execute.tasks import (
    FINDINGS,
    EncodeReply,
    EncodeTask,
    Failure,
    NotPerformedTask,
    RejectionTask,
    Source,
)
from dicomnode.records import PatientContext
from dicomnode.store.deliver import fallback
from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.queue.notes import drop_note
from dicomnode.store.queue.rejections import predecessors
from dicomnode.store.queue.runs import succeeded_findings

log = logging.getLogger(__name__)


def write_results(job: ClaimedJob, protocol: Protocol, source: Source, context: PatientContext) -> None:
    """Have the findings of all runs encoded together, and put the results into the outbox.

    Parameters
    ----------
    context : what the runs knew of the patient; the reference scores are computed from it.

    Raises
    ------
    LeaseLost : the job was superseded, cancelled or taken over.
    """
    config = job.at.config
    with job.at.store.read() as session:
        findings = succeeded_findings(session, job.claim.job_id)
        replaced = predecessors(session, job.claim.job_id)
        missing = fallback.missing_kinds(session, job.claim.job_id)
        taken = _kinds_taken_now(config, session, protocol)
    task = EncodeTask(
        source=source,
        findings=tuple(config.work_dir.absolute() / path for path in findings),
        folder=job.folder,
        protocol=protocol.name,
        settings_digest=settings_digest(protocol, config.execution.precision),
        generation=job.claim.generation,
        timezone=config.node.timezone,
        station_ae_title=config.node.ae_title,
        language=config.node.language,
        requested=tuple(sorted({*taken, *missing})),
        predecessors=tuple(replaced),
        context=context,
        unasked_scores=config.clinical.scores == "always",
    )
    deliveries = [delivery_to(one) for one in config.destinations_of(protocol)]
    _have_written(job, task, deliveries, only=missing)


def write_note(job: ClaimedJob) -> None:
    """Have a note about results written, a rejection or that nothing was done, and put it into the outbox.

    Raises
    ------
    LeaseLost : the job was taken over.
    """
    try:
        prepared = prepare_note(job.at.config, job.at.store, job.claim, job.folder, _is_research(job))
    except JobError as fault:
        job.fail(str(fault), retry=False)
        return
    if prepared.task is None:
        with job.at.store.write() as session:
            drop_note(session, job.claim, reason=prepared.unwanted)
        return
    _have_written(job, prepared.task, prepared.deliveries)


def _is_research(job: ClaimedJob) -> bool:
    """Whether any model of the claim's protocol is; so it is, too, where the protocol is gone."""
    plan = job.at.plans.get(job.claim.protocol, ())
    return not plan or any(manifest.research for manifest in plan)


def _have_written(
    job: ClaimedJob,
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
    reply = job.ask(task, "encoding")
    if isinstance(reply, Failure) and job.is_held_up(reply):
        job.postpone(f"encoding: {reply.message}", reply.fault)
    elif isinstance(reply, Failure):
        job.fail(f"encoding: {reply.message}", redo_runs=reply.stage == FINDINGS)
    elif isinstance(reply, EncodeReply):
        made = task.requested if isinstance(task, EncodeTask) else ()
        _store(job, deliveries, reply, made=made, only=only)


def _store(
    job: ClaimedJob,
    deliveries: Sequence[Delivery],
    reply: EncodeReply,
    *,
    made: Collection[str],
    only: Collection[str],
) -> None:
    data_dir = job.at.config.node.data_dir.absolute()
    wanted = [result for result in reply.results if not only or result.kind in only]
    results = [replace(result, path=result.path.absolute().relative_to(data_dir)) for result in wanted]
    with job.at.store.write() as session:
        store_results(session, job.claim, results, fallback.adapted(session, deliveries))
        fallback.send_stand_ins(session, job.claim.job_id, made=made)
    kinds = [result.kind for result in results]
    log.info("results encoded", extra={**job.facts, "kinds": kinds, "seconds": reply.seconds})


def _kinds_taken_now(config: Config, session: Session, protocol: Protocol) -> set[str]:
    """By the configuration of the destinations, and by what they are known to refuse."""
    destinations = config.destinations_of(protocol)
    return {kind for one in destinations for kind in fallback.kinds_for(session, one.name, one.results)}


def kinds_taken(config: Config, protocol: Protocol) -> tuple[str, ...]:
    """Kinds of result that any destination of a protocol takes."""
    return tuple(sorted({kind for destination in config.destinations_of(protocol) for kind in destination.results}))


def settings_digest(protocol: Protocol, precision: str) -> str:
    """Digest of what shapes a result beside its images: a protocol's models, and fewer digits where asked for.

    Where the results go does not.
    """
    shaping: dict[str, Any] = {"models": protocol.models}
    if precision == "bfloat16":
        shaping["precision"] = precision
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()

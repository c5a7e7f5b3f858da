"""The context of a job: what its images tell, and what is stored about their patient, as near to the scan as can be.

Once a job has results, the context that they were made with stays: a stand-in that is encoded later must be the same
results in another class, whatever has come in since.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dicomnode.clinical.matching import with_issuer
from dicomnode.clinical.merging import HOUR_S, Scan, merged, refusals
from dicomnode.config.whole import Config
from dicomnode.execute.job import ClaimedJob
from dicomnode.execute.tasks import ReadReply
from dicomnode.records import ContextSource, ContextText, ContextValue, Patient, PatientContext
from dicomnode.store.clinical.observations import known_of
from dicomnode.store.clinical.patients import record_study
from dicomnode.store.queue.runs import has_results, note_context

log = logging.getLogger(__name__)

CONTEXT = "context.json"


def scan_of(config: Config, patient: Patient, scanned_at: float | None) -> Scan:
    """The scan that a context is for, with the limits of the configuration."""
    clinical = config.clinical
    return Scan(
        patient=with_issuer(patient, clinical.issuer),
        at=scanned_at,
        zone=ZoneInfo(config.node.timezone),
        before_s=clinical.hours_before * HOUR_S,
        after_s=clinical.hours_after * HOUR_S,
    )


def context_of(job: ClaimedJob, read: ReadReply) -> PatientContext:
    """What a job's models and scores may know of the patient.

    Raises
    ------
    LeaseLost : the job was superseded, cancelled or taken over.
    OSError : the disk is full or gone.
    """
    path = job.folder.parent / CONTEXT
    with job.at.store.read() as session:
        is_settled = has_results(session, job.claim.job_id) and path.exists()
    if is_settled:
        return load_context(path).context
    context = _gathered(job, read)
    save_context(path, KeptContext(context, read.scanned_at))
    return context


def _gathered(job: ClaimedJob, read: ReadReply) -> PatientContext:
    scan = scan_of(job.at.config, read.patient, read.scanned_at)
    with job.at.store.write() as session:
        record_study(session, job.claim.study_uid, scan.patient, scan.at)
        known = known_of(session, scan.patient)
        context = merged(read.context, known.observations, known.texts, scan)
        contradict = refusals((*known.observations, *known.texts), scan.patient)
        told = [value for value in context.values if value.source is not ContextSource.HEADER]
        if told or context.texts or contradict:
            # names and sources only: the values have a retention of their own, events have none
            names = [f"{value.name} ({value.source})" for value in told]
            names += [f"{text.section} ({text.source})" for text in context.texts]
            note_context(session, job.claim, known=names, contradict=contradict)
    if contradict:
        log.warning("context of another patient is not used", extra={**job.facts, "contradict": contradict})
    return context


@dataclass(frozen=True, slots=True)
class KeptContext:
    """What a job knew of its patient, and when the scan was (seconds since the epoch; None: not told)."""

    context: PatientContext
    scanned_at: float | None


def save_context(path: Path, kept: KeptContext) -> None:
    """Write atomically: a file with this name is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(kept), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_context(path: Path) -> KeptContext:
    """Read what :func:`save_context` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    values, texts = raw["context"]["values"], raw["context"]["texts"]
    context = PatientContext(values=_records(values, ContextValue), texts=_records(texts, ContextText))
    return KeptContext(context, raw["scanned_at"])


def _records(items: list[dict[str, Any]], record: Callable[..., Any]) -> tuple[Any, ...]:
    return tuple(record(**{**item, "source": ContextSource(item["source"])}) for item in items)

"""``process --context FILE``: what is known of the patient, given together with the images."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from dicomnode.clinical.matching import contradictions, same_patient
from dicomnode.clinical.merging import merged
from dicomnode.clinical.sources.document import Document, Reader
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, ContextError, ContextRefusal
from dicomnode.execute.context import scan_of
from dicomnode.execute.tasks import ReadReply
from dicomnode.records import Observation, Patient, PatientContext, ReportSection


def read_document(path: Path, config: Config) -> Document:
    """The document of a file.

    Raises
    ------
    ConfigError : the file cannot be read.
    ContextError : it cannot be taken; every fault with its place.
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise ConfigError([f"--context {path}: cannot be read ({fault.strerror})"]) from fault
    zone = ZoneInfo(config.node.timezone)
    return Reader(zone=zone, issuer=config.clinical.issuer, for_one_scan=True).read(content)


def context_with(document: Document | None, read: ReadReply, config: Config) -> PatientContext:
    """What the images tell and what the document adds.

    Raises
    ------
    ContextError : the document names another patient.
    """
    if document is None:
        return read.context
    scan = scan_of(config, read.patient, read.scanned_at)
    parts: list[Observation | ReportSection] = [*document.observations, *document.texts]
    for part in parts:
        if not _is_about(part.patient, scan.patient):
            raise ContextError([(part.provenance, ContextRefusal.WRONG_PATIENT)])
    return merged(read.context, document.observations, document.texts, scan)


def _is_about(stated: Patient, patient: Patient) -> bool:
    """A document that comes with the images need not name the patient; what it states must not contradict."""
    return same_patient(stated, patient) if stated.patient_id else not contradictions(stated, patient)

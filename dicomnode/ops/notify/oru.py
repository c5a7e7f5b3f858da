"""An urgent finding as HL7 v2.5.1 ORU^R01 (chapter 7.3.1), the same to the byte whenever it is sent.

What it says is preliminary (OBR-25, OBX-11: P) and abnormal (OBX-8: AA). The patient is named by ID, birth date and
sex; the name is stated to be unknown (PID-5, type U), since the node keeps none.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dicomnode.config.notify import Hl7Receiver
from dicomnode.decision import ScoreOutcome, Told
from dicomnode.records import Patient

VERSION, CHARSET = "2.5.1", "UNICODE UTF-8"
STUDY, OBSERVATION, VOLUME = "113014^DICOM Study^DCM", "18782-3^Radiology Study observation^LN", "118565006^Volume^SCT"
PROBABILITY = "EXAM_PROBABILITY^Probability of the exam^L"
SCORE = "SCORE^Score of a model^L"
SERVICE = "URGENT^Urgent finding of a model, research^L"
NOTE = "Research, not for diagnosis: computed by a model, seen by nobody yet."
_ESCAPED = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\r": " ", "\n": " "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is reported. ``found_at``: seconds since the epoch."""

    job_id: int
    study_uid: str
    accession_number: str
    patient: Patient
    model: str
    outcome: Told
    found_at: float


def control_id(report: Report) -> str:
    """MSH-10, 20 characters: the same for the same finding, also after a restart, so that nobody takes it twice."""
    told = (report.study_uid, str(report.job_id), report.model, report.outcome.finding)
    return hashlib.sha256("|".join(told).encode()).hexdigest()[:20]


def oru(report: Report, to: Hl7Receiver) -> bytes:
    """The message, without its frame."""
    at = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(report.found_at))
    names = [to.sending_application, to.sending_facility, to.receiving_application, to.receiving_facility]
    header = ["MSH", "^~\\&", *names, at, "", "ORU^R01^ORU_R01", control_id(report), to.processing_id, VERSION]
    segments = [[*header, *[""] * 5, CHARSET], _pid(report.patient), _obr(report, at), *_observations(report, at)]
    return "".join("|".join(fields).rstrip("|") + "\r" for fields in segments).encode("utf-8")


def _pid(patient: Patient) -> list[str]:
    number = f"{escaped(patient.patient_id)}^^^{escaped(patient.issuer)}^PI"
    return ["PID", "1", "", number, "", "^^^^^^U", "", escaped(patient.birth_date), escaped(patient.sex)]


def _obr(report: Report, at: str) -> list[str]:
    accession = escaped(report.accession_number)
    fields = ["OBR", "1", "", f"{report.job_id}^DICOMNODE", SERVICE, "", "", at, *[""] * 10, accession]
    return [*fields, "", "", "", at, "", "", "P"]


def _observations(report: Report, at: str) -> list[list[str]]:
    outcome, finding = report.outcome, escaped(report.outcome.finding)
    words = escaped(f"{report.outcome.finding} {outcome.in_words()}")
    rows = [
        _obx(1, "ST", STUDY, finding, report.study_uid, "", at),
        _obx(2, "ST", OBSERVATION, finding, words, "", at),
    ]
    for what, value, unit in _numbers(outcome):
        rows.append(_obx(len(rows) + 1, "NM", what, finding, value, unit, at))
    return [*rows, ["NTE", "1", "L", f"{NOTE} Model: {escaped(report.model)}."]]


def _numbers(outcome: Told) -> Iterator[tuple[str, str, str]]:
    """(what, value, unit) of each."""
    if isinstance(outcome, ScoreOutcome):
        yield SCORE, f"{outcome.value:g}", f"{escaped(outcome.unit)}^^UCUM"
        return
    yield VOLUME, f"{outcome.volume_ml:g}", "mL^milliliter^UCUM"
    if outcome.exam_probability is not None:
        yield PROBABILITY, f"{outcome.exam_probability:.3f}", "1^^UCUM"


def _obx(number: int, kind: str, what: str, of: str, value: str, unit: str, at: str) -> list[str]:
    flag = "" if what == STUDY else "AA"
    return ["OBX", str(number), kind, what, of, value, unit, "", flag, "", "", "P", "", "", at]


def escaped(text: str) -> str:
    """A value as it stands in a field (HL7 v2.5 2.7).

    >>> escaped("a|b^c")
    'a\\\\F\\\\b\\\\S\\\\c'
    """
    return "".join(_ESCAPED.get(sign, sign) for sign in text)

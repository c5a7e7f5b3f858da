"""What the hospital of the demo tells of its patient before the scan: admission, emergency department, laboratory.

HL7 v2 over MLLP, as it would come from an information system and from a laboratory, each with codes of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydicom.dataset import Dataset

from dicomnode.app import show
from dicomnode.config.clinical import Clinical, Hl7
from dicomnode.dicom import codes
from dicomnode.dicom.times import scanned_at
from dicomnode.dicom.values import text_of, value_of
from dicomnode.errors import NodeError
from dicomnode.receive.mllp.asking import ask

HOST, ANSWER_S = "127.0.0.1", 30.0
LOCAL_CODES = {"ANTICOAG": "anticoagulant", "ONSET": "onset_at", "EVT": "thrombectomy"}
"""Of the demo's emergency department, for what has no LOINC code that the node knows."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: who sends what, and what is in it, for a person."""

    sender: str
    kind: str
    says: str
    text: str


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def demo_clinical(issuer: str, port: int) -> Clinical:
    """The section [clinical] of the demo's node."""
    return Clinical(issuer=issuer, hl7=Hl7(host=HOST, port=port, charset="UNICODE UTF-8", codes=LOCAL_CODES))


def demo_messages(header: Dataset, *, thrombectomy: bool = False) -> list[Message]:
    """What is told of the patient of a scan, with times before it.

    Parameters
    ----------
    thrombectomy : of a patient after one, in place of one with a bleed.
    """
    scan = datetime.fromtimestamp(scanned_at(header, "UTC") or 0.0, UTC)

    def before(minutes: float) -> str:
        return (scan - timedelta(minutes=minutes)).strftime("%Y%m%d%H%M%S+0000")

    whose = (
        f"PID|1||{text_of(header, 'PatientID')}^^^{text_of(header, 'IssuerOfPatientID')}^MR||{_name(header)}||"
        f"{text_of(header, 'PatientBirthDate')}|{text_of(header, 'PatientSex')}"
    )
    ward = [
        f"OBR|1|E100|E100|8716-3^Vital signs^LN|||{before(25)}",
        f"OBX|1|NM|9269-2^Glasgow coma score total^LN||{13 if thrombectomy else 10}|{{score}}^^UCUM|||||F",
        "OBX|2|NM|72089-6^NIHSS^LN||16||||||F",
        f"OBX|3|NM|8480-6^Systolic blood pressure^LN||{158 if thrombectomy else 192}|mm[Hg]^^UCUM|||||F",
        f"OBX|4|CWE|{_done(thrombectomy)}||Y^Yes^HL70136||||||F",
        f"OBX|5|DTM|ONSET^Last seen well^L||{before(345 if thrombectomy else 105)}||||||F",
    ]
    laboratory = [
        f"OBR|1|L200|L200|24323-8^Laboratory^LN|||{before(20)}",
        "OBX|1|NM|GLU^Glucose^L^2345-7^Glucose^LN||126|mg/dL^^UCUM|||||F",
        f"OBX|2|SN|6301-6^INR^LN||^{1.1 if thrombectomy else 2.8}|1^^UCUM|||||F",
        "OBX|3|NM|777-3^Platelets^LN||212|10*3/uL^^UCUM|||||F",
        "OBX|4|NM|718-7^Haemoglobin^LN||13.1|g/dL^^UCUM|||||F",
        "OBX|5|NM|2160-0^Creatinine^LN||0.9|mg/dL^^UCUM|||||F",
    ]
    diagnoses = ["PV1|1|E", "DG1|1||I48.0^Atrial fibrillation^I10", "DG1|2||I10^Hypertension^I10"]
    treatment = "thrombectomy" if thrombectomy else "anticoagulation"
    told = [
        ("KIS", "ADT^A01^ADT_A01", "admission, two diagnoses", before(30), diagnoses),
        ("EMERGENCY", "ORU^R01^ORU_R01", f"GCS, NIHSS, pressure, onset, {treatment}", before(24), ward),
        ("LAB", "ORU^R01^ORU_R01", "glucose, INR, platelets, haemoglobin, creatinine", before(10), laboratory),
    ]
    return [
        Message(sender, kind[:7], says, _text(sender, kind, number, at, whose, segments))
        for number, (sender, kind, says, at, segments) in enumerate(told, start=1)
    ]


def _done(thrombectomy: bool) -> str:
    """What was done to the patient before, in the codes of the emergency department."""
    return "EVT^Thrombectomy^L" if thrombectomy else "ANTICOAG^Oral anticoagulation^L"


def _name(header: Dataset) -> str:
    return str(header.get("PatientName", "")).partition("=")[0]


def _text(sender: str, kind: str, number: int, at: str, whose: str, segments: Sequence[str]) -> str:
    header = f"MSH|^~\\&|{sender}|DEMO|DICOMNODE|DEMO|{at}||{kind}|DEMO{number}|P|2.5.1||||||UNICODE UTF-8"
    return "".join(f"{segment}\r" for segment in (header, whose, *segments))


def tell(messages: Sequence[Message], port: int) -> list[list[str]]:
    """Send messages one after the other; for each who, what and how it was answered.

    Raises
    ------
    NodeError : one was not accepted.
    """
    rows = []
    for message in messages:
        answer = ask(HOST, port, message.text.encode(), timeout_s=ANSWER_S).decode()
        code = next((line.split("|")[1] for line in answer.split("\r") if line.startswith("MSA|")), "none")
        if code != "AA":
            raise NodeError(f"the node answered {code} to {message.kind} of {message.sender}")
        rows.append([message.sender, message.kind, message.says, code])
    return rows


def report_of_context(told: Sequence[Sequence[str]], received: Sequence[Dataset]) -> None:
    """Say what was told, and what of it the results in the PACS say that they used."""
    show.table("What the hospital told the node by HL7 v2 over MLLP", ["sender", "message", "with", "answer"], told)
    show.out.print()
    reports = [ds for ds in received if ds.Modality == "SR"]
    used = dict.fromkeys(text for ds in reports for text in _texts(ds, codes.INPUT_USED) if "(HL7" in text)
    scores = dict.fromkeys(text for ds in reports for text in _texts(ds, codes.REFERENCE_SCORE))
    outcomes = dict.fromkeys(text for ds in reports for text in _texts(ds, codes.DEFINITION))
    if not used:
        show.out.print("[red]No report in the PACS says that it used any of it.[/red]")
        return
    show.out.print("Used by the report of scores in the PACS, with source and time:")
    for text in used:
        show.out.print(f"  {text}", markup=False)
    for text in outcomes:
        show.out.print(f"The event whose probability it gives: {text}", markup=False)
    for text in scores:
        show.out.print(f"- {text}", markup=False)
    show.out.print()


def _texts(item: Dataset, concept: codes.Code) -> Iterator[str]:
    """Texts under a concept, anywhere in a report."""
    for inner in value_of(item, "ContentSequence") or ():
        name = value_of(inner, "ConceptNameCodeSequence")
        if name and text_of(name[0], "CodeValue") == concept.value:
            yield text_of(inner, "TextValue")
        yield from _texts(inner, concept)

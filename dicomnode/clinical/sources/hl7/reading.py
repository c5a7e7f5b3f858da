"""One message: what it says of a patient, or which identifiers it makes one (ORU^R01, ADT^A01, A04, A08, A40)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from dicomnode.clinical.sections import REPORT
from dicomnode.clinical.sources.hl7.codes import code_of
from dicomnode.clinical.sources.hl7.diagnoses import read_diagnosis
from dicomnode.clinical.sources.hl7.header import VERSION, Header
from dicomnode.clinical.sources.hl7.message import Segment, segments_of
from dicomnode.clinical.sources.hl7.people import MRG_1, PID_3, key_of, patient_of
from dicomnode.clinical.sources.hl7.persons import read_person
from dicomnode.clinical.sources.hl7.reports import Report, is_of_report, is_text, read_report
from dicomnode.clinical.sources.hl7.results import OBX_5, read_result
from dicomnode.clinical.sources.hl7.rules import Rules
from dicomnode.clinical.sources.hl7.statements import Standing, standing_of
from dicomnode.clinical.sources.hl7.telling import Fault, Telling
from dicomnode.clinical.sources.hl7.times import date_of, moment_of, zone_in
from dicomnode.clinical.variables import SECTIONS
from dicomnode.errors import ContextError, MessageRefusal, MessageRefused
from dicomnode.store.clinical.patients import PatientKey
from dicomnode.store.clinical.statements import Told

RESULTS, FACTS, MERGE = ("ORU", "R01"), tuple(("ADT", event) for event in ("A01", "A04", "A08")), ("ADT", "A40")
OBX_11 = 11


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message says.

    Attributes
    ----------
    merges : (prior, survivor), in order.
    faults : of parts that are the node's and cannot be used; what is in ``told`` can.
    """

    told: tuple[Told, ...] = ()
    merges: tuple[tuple[PatientKey, PatientKey], ...] = ()
    faults: tuple[Fault, ...] = ()


def read_message(content: bytes, header: Header, rules: Rules) -> Reading:
    """Read a message whose header is known.

    Raises
    ------
    MessageRefused : it is none that is read here, cannot be read, or does not say whose it is.
    """
    _require_ours(header, rules)
    segments = segments_of(content, header)
    if (header.message_type, header.event) == MERGE:
        return Reading(merges=tuple(_merges(segments, rules)))
    tellings = [_telling(group, header, rules) for group in _by_patient(segments)]
    return Reading(
        told=tuple(told for telling in tellings for told in telling.told),
        faults=tuple(fault for telling in tellings for fault in telling.faults),
    )


def _require_ours(header: Header, rules: Rules) -> None:
    if header.fault is not None:
        raise MessageRefused(header.fault, "MSH-18")
    if header.message_type not in ("ORU", "ADT"):
        raise MessageRefused(MessageRefusal.WRONG_TYPE, "MSH-9")
    if (header.message_type, header.event) not in (RESULTS, *FACTS, MERGE):
        raise MessageRefused(MessageRefusal.WRONG_EVENT, "MSH-9")
    if not header.control_id:
        raise MessageRefused(MessageRefusal.NO_CONTROL_ID, "MSH-10")
    if header.processing_id.upper() not in rules.processing_ids:
        raise MessageRefused(MessageRefusal.WRONG_PROCESSING_ID, "MSH-11")
    if not VERSION.fullmatch(header.version):
        raise MessageRefused(MessageRefusal.WRONG_VERSION, "MSH-12")


def _by_patient(segments: Sequence[Segment]) -> list[list[Segment]]:
    """A group for each PID, with all up to the next.

    Raises
    ------
    MessageRefused : there is none, or results stand before the first.
    """
    groups: list[list[Segment]] = []
    for segment in segments:
        if segment.name == "PID":
            groups.append([segment])
        elif groups:
            groups[-1].append(segment)
        elif segment.name in ("OBR", "OBX", "DG1"):
            raise MessageRefused(MessageRefusal.MISSING_SEGMENT, "PID")
    if not groups:
        raise MessageRefused(MessageRefusal.MISSING_SEGMENT, "PID")
    return groups


def _telling(group: list[Segment], header: Header, rules: Rules) -> Telling:
    telling = Telling(
        header=header,
        rules=rules,
        patient=patient_of(group[0], rules.issuer),
        zone=_zone(header, rules),
        told_at=_written_at(header, rules),
    )
    if header.message_type == "ADT":
        read_person(telling)
    _read_parts(group, telling)
    return telling


def _zone(header: Header, rules: Rules) -> tzinfo:
    try:
        return zone_in(header.written_at, rules.zone)
    except ContextError:
        return rules.zone


def _written_at(header: Header, rules: Rules) -> float:
    """MSH-7, where it states less the beginning of the day; now, where it states nothing, or what is still to come.

    A clock that is ahead would otherwise keep all that its sender corrects later from being believed.
    """
    now = time.time()
    try:
        day = date_of(header.written_at)
        stated = header.written_at
        if day is not None and len(stated) < len("YYYYMMDDHHMM"):
            stated = f"{day:%Y%m%d}0000"
        return min(moment_of(stated, rules.zone) or now, now)
    except ContextError:
        return now


def _read_parts(group: list[Segment], telling: Telling) -> None:
    places: Counter[str] = Counter()
    admitted = next((segment.text(44) for segment in group if segment.name == "PV1"), "")
    report = Report(None, 0)
    for segment in group[1:]:
        places[segment.name] += 1
        if segment.name == "OBR":
            read_report(report, telling)
            report = Report(segment, places["OBR"])
        elif segment.name == "OBX":
            _read_observation(segment, places["OBX"], report, telling)
        elif segment.name == "DG1":
            read_diagnosis(segment, places["DG1"], admitted, telling)
    read_report(report, telling)


def _read_observation(obx: Segment, place: int, report: Report, telling: Telling) -> None:
    code = code_of(obx, telling.rules)
    section = code.name if code.name in SECTIONS else REPORT if is_of_report(obx, report.obr) else ""
    if not (code.name or section) or (not code.name and code.local) or (section and not is_text(obx)):
        return  # none of the node's, or passed over by the site's own word
    try:
        standing = standing_of(obx.text(OBX_11))
    except ContextError as fault:
        telling.fault(obx, place, OBX_11, fault)
        return
    if standing is None or (standing is not Standing.WITHDRAWN and _is_not_there_yet(obx)):
        return
    if code.name and code.name not in SECTIONS:
        read_result(obx, report.obr, place, code, standing, telling)
    else:
        report.add(obx, place, section, standing)


def _is_not_there_yet(obx: Segment) -> bool:
    """Nothing is stated, and it is not said to be final: it will come, or has come and is final now."""
    return obx.text(OBX_11).upper() in "PRSU" and not any(obx.whole(OBX_5, one) for one in obx.repetitions(OBX_5))


def _merges(segments: Sequence[Segment], rules: Rules) -> list[tuple[PatientKey, PatientKey]]:
    """Of each PID the MRG that follows: what was known under MRG-1 is about PID-3.

    Raises
    ------
    MessageRefused : one of them is missing, without an identifier that can be used, or both are the same.
    """
    merges: list[tuple[PatientKey, PatientKey]] = []
    survivor: PatientKey | None = None
    for segment in segments:
        if segment.name == "PID":
            survivor = key_of(segment, PID_3, rules.issuer)
        elif segment.name == "MRG" and survivor is not None:
            prior = key_of(segment, MRG_1, rules.issuer)
            if prior == survivor:
                raise MessageRefused(MessageRefusal.SAME_PATIENT, "MRG-1")
            merges.append((prior, survivor))
            survivor = None
    if not merges or survivor is not None:
        raise MessageRefused(MessageRefusal.MISSING_SEGMENT, "PID" if not merges and survivor is None else "MRG")
    return merges

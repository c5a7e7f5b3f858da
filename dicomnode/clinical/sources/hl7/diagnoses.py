"""Diagnoses of DG1 segments that are variables, by ICD-10 (HL7 v2.5 chapter 6, 6.5.2)."""

from __future__ import annotations

import re
from datetime import date

from dicomnode.clinical.sources.hl7.message import Segment
from dicomnode.clinical.sources.hl7.statements import Standing
from dicomnode.clinical.sources.hl7.telling import Telling
from dicomnode.clinical.sources.hl7.times import date_of
from dicomnode.clinical.variables import VARIABLES
from dicomnode.errors import ContextError
from dicomnode.records import ContextSource, Observation

HAPPENED_BEFORE = r"I63|I64"
"""Strokes: of this stay they are what the patient came with, so they count only where they are older than the stay."""
ICD_10: dict[str, str] = {
    "atrial_fibrillation": r"I48",
    "hypertension": r"I1[0-35]",
    "diabetes": r"E1[0-4]",
    "coronary_disease": r"I2[0-5]",
    "prior_stroke": rf"{HAPPENED_BEFORE}|I69\.?[34]|Z86\.?73",
    "anticoagulant": r"Z92\.?1|Z79\.?01",
    "antiplatelet": r"Z79\.?02",
    "trauma": r"S02\.?[01]|S06",
    "brain_tumour": r"C71|C79\.?3|D33\.?[0-2]|D43\.?[0-2]",
    "aneurysm": r"I60|I67\.?1|Q28\.?[23]",
}
"""Variable -> beginnings of its codes: blocks of ICD-10 of the WHO; Z79.0 and Z86.73 of ICD-10-CM."""
_CODE = re.compile(r"([A-Z]\d{2}(?:\.?[0-9A-Z]{1,4})?)([-+*!†#]*)")
_NOT_CERTAIN = frozenset("AV")
"""Last letter of ICD-10-GM: excluded, suspected."""
_SYSTEM = re.compile(r"(?:|I10.*|ICD-?10.*|10GM.*)", re.IGNORECASE)
_DELETED = "D"
TO_THE_MINUTE = len("YYYYMMDDHHMM")


def read_diagnosis(dg1: Segment, place: int, admitted: str, telling: Telling) -> None:
    """Take a diagnosis that is a variable; others, and those that are suspected or excluded, are passed over.

    Parameters
    ----------
    admitted : PV1-44, as it stands.
    """
    try:
        name = _variable(dg1, admitted)
        at = _began_at(dg1, admitted, telling) if name and not VARIABLES[name].lasts else None
    except ContextError as fault:
        telling.fault(dg1, place, 5, fault)
        return
    if not name:
        return
    key = telling.key("diagnosis", name, dg1.text(3))
    if dg1.text(21).upper() == _DELETED:
        telling.say(key, Standing.WITHDRAWN, None)
        return
    observation = Observation(
        patient=telling.patient,
        name=name,
        value=True,
        source=ContextSource.HL7,
        observed_at=at,
        provenance=telling.where("DG1", dg1.text(1) or str(place)),
    )
    telling.say(key, Standing.FINAL, observation)


def _variable(dg1: Segment, admitted: str) -> str:
    code = _code(dg1)
    name = next((name for name, pattern in ICD_10.items() if re.match(pattern, code)), "") if code else ""
    if re.match(HAPPENED_BEFORE, code) and not _is_older(dg1.text(5), admitted):
        return ""
    return name


def _code(dg1: Segment) -> str:
    """Empty where it is none of ICD-10, or no certain diagnosis."""
    for first in (1, 4):
        found = _CODE.fullmatch(dg1.text(3, first).upper())
        if found and _SYSTEM.fullmatch(dg1.text(3, first + 2)):
            code = found[1]
            return "" if code[-1] in _NOT_CERTAIN and not code[:-1].endswith(".") and len(code) > 3 else code
    return ""


def _began_at(dg1: Segment, admitted: str, telling: Telling) -> float | None:
    """When it began, for what does not last: DG1-5, else the admission, else when the message was written.

    A day alone is its noon, but no later than the message.
    """
    text = dg1.text(5) or admitted
    day = date_of(text)
    if day is None:
        return telling.told_at
    if len(text) >= TO_THE_MINUTE:
        return telling.moment([text])
    noon = telling.moment([f"{day:%Y%m%d}1200"])
    return None if noon is None else min(noon, telling.told_at)


def _is_older(diagnosed: str, admitted: str) -> bool:
    days: list[date | None] = [date_of(diagnosed), date_of(admitted)]
    return days[0] is not None and days[1] is not None and days[0] < days[1]

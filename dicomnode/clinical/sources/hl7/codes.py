"""What an observation is about: OBX-3 by the site's own table, else by LOINC (HL7 v2.5 chapter 7, 7.4.2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dicomnode.clinical.sources.hl7.message import Segment
from dicomnode.clinical.sources.hl7.rules import Rules
from dicomnode.clinical.sources.structured_report import SECTION_OF
from dicomnode.clinical.variables import BY_LOINC

OBX_3, OBR_4 = 3, 4
_LOINC = frozenset({"LN", "LOINC"})
_TRIPLETS = (1, 4, 10)
"""First components of the identifier, of its alternate, and of the second alternate (v2.7)."""
_WHOLE_REPORTS = frozenset({"18748-4", "24725-4", "30799-1", "24727-0", "68604-8"})
"""LOINC codes of a report that is not divided: of diagnostic imaging, of CT of the head with and without contrast."""
_SECTIONS = {**SECTION_OF, "18782-3": "findings", **dict.fromkeys(_WHOLE_REPORTS, "report")}
_SUFFIXES = {"IMP": "impression", "GDT": "findings"}
"""Subcomponents of OBX-3.1 that tell a part of a report (v2.3 chapter 7, 7.1.4)."""


@dataclass(frozen=True, slots=True)
class Code:
    """``name``: of a variable or a section; empty where it is none of the node's. ``local``: of the site's table."""

    name: str
    loinc: str = ""
    local: str = ""


def code_of(obx: Segment, rules: Rules) -> Code:
    """What the observation is about."""
    triplets = list(_triplets(obx))
    for code, _ in triplets:
        if code in rules.codes:
            return Code(rules.codes[code], local=code)
    for code, system in triplets:
        if system in _LOINC and code in BY_LOINC:
            return Code(BY_LOINC[code], loinc=code)
    for code, system in triplets:
        if system in _LOINC and code in _SECTIONS:
            return Code(_SECTIONS[code])
    return Code(_SUFFIXES.get(obx.text(OBX_3, subcomponent=2).upper(), ""))


def _triplets(obx: Segment) -> Iterator[tuple[str, str]]:
    for first in _TRIPLETS:
        code = obx.text(OBX_3, first)
        if code:
            yield code, obx.text(OBX_3, first + 2).upper()

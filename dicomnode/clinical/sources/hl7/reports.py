"""Texts of OBX segments: the lines of a report, in the sections that their codes or headings name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dicomnode.clinical.sections import HEADINGS, REPORT, divided
from dicomnode.clinical.sources.hl7.message import NULL, Segment
from dicomnode.clinical.sources.hl7.results import OBX_5
from dicomnode.clinical.sources.hl7.statements import Standing
from dicomnode.clinical.sources.hl7.telling import Telling
from dicomnode.clinical.sources.layout import MAX_TEXT
from dicomnode.clinical.values import refused
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import ContextSource, ReportSection

TEXT_TYPES = frozenset({"TX", "FT", "ST", ""})
IMAGING = frozenset({"RAD", "CT", "NMR", "MR", "RUS", "RX", "IMG", "NRS"})
"""OBR-24 (table 0074) of orders whose texts are a report, whatever code their lines have."""


@dataclass(slots=True)
class Report:
    """The texts of one order, as they are collected.

    Attributes
    ----------
    lines : section -> its lines; those that are not divided yet under ``report``.
    standing : of the whole: the word that replaces most.
    """

    obr: Segment | None
    number: int
    lines: dict[str, list[str]] = field(default_factory=dict)
    standing: Standing = Standing.PRELIMINARY
    first: tuple[Segment, int] | None = None

    def add(self, obx: Segment, place: int, section: str, standing: Standing) -> None:
        """One OBX of the report; its repetitions are lines."""
        self.first = self.first or (obx, place)
        self.standing = max(self.standing, standing, key=lambda one: one.value)
        lines = self.lines.setdefault(section, [])
        if standing is not Standing.WITHDRAWN:
            texts = [obx.whole(OBX_5, one) for one in obx.repetitions(OBX_5)]
            lines += ["" if text == NULL else text for text in texts]


def is_text(obx: Segment) -> bool:
    """Whether it is of a type that holds text."""
    return obx.text(2).upper() in TEXT_TYPES


def is_of_report(obx: Segment, obr: Segment | None) -> bool:
    """Whether an OBX without a known code is a line of a radiologist's report."""
    return obr is not None and is_text(obx) and obr.text(24).upper() in IMAGING


def read_report(report: Report, telling: Telling) -> None:
    """Take the sections of an order, or say why they cannot be used."""
    if report.first is None:
        return
    obx, place = report.first
    obr = report.obr
    try:
        stated = [obx.text(14), *([obr.text(22), obr.text(7)] if obr else [])]
        written_at = telling.moment(stated)
        if written_at is None:
            raise refused(ContextRefusal.NO_TIME)
        sections = dict(_sections(report.lines))
        if any(len(text) > MAX_TEXT for text in sections.values()):
            raise refused(ContextRefusal.TOO_LARGE)
    except ContextError as fault:
        telling.fault(obx, place, OBX_5, fault)
        return
    for section in {**dict.fromkeys(report.lines), **sections, **dict.fromkeys(HEADINGS)}:
        text = sections.get(section, "")
        standing = report.standing if text else Standing.WITHDRAWN
        known = _section(report, section, text, written_at, telling) if text else None
        telling.say(telling.key("text", _order(report, written_at), section), standing, known)


def _order(report: Report, written_at: float) -> str:
    """A correction has another time: it is found by the number of its order, where it has one."""
    obr = report.obr
    number = "" if obr is None else obr.text(3) or obr.text(2)
    return number or f"{written_at} {report.number}"


def _section(report: Report, section: str, text: str, written_at: float, telling: Telling) -> ReportSection:
    assert report.first is not None
    obx, place = report.first
    return ReportSection(
        patient=telling.patient,
        section=section,
        text=text,
        author=_author(obx, report.obr),
        source=ContextSource.HL7,
        written_at=written_at,
        provenance=telling.where("OBX", obx.text(1) or str(place)),
    )


def _author(obx: Segment, obr: Segment | None) -> str:
    """Who observed it (OBX-16), else who interpreted it (OBR-32): given and family name."""
    names = [(obx.text(16, 3), obx.text(16, 2))]
    if obr is not None:
        names.append((obr.text(32, 1, subcomponent=3), obr.text(32, 1, subcomponent=2)))
    return next((" ".join(filter(None, name)) for name in names if any(name)), "")


def _sections(lines: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Section -> text, empty ones left out; a report without codes is divided by its headings."""
    found: dict[str, list[str]] = {}
    for section, parts in lines.items():
        text = "\n".join(parts)
        for name, part in divided(text) if section == REPORT else [(section, text)]:
            found.setdefault(name, []).append(part.strip())
    for name, parts in found.items():
        if text := _joined(parts):
            yield name, text


def _joined(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)

"""Values and texts from a DICOM structured report of another system (PS3.3 A.35; PS3.16 TID 1500, TID 2000).

Numbers count whose concept is a LOINC code of a known variable, wherever they stand in the tree. Texts are those of the
sections of CID 7001; a report that is not divided is one text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from dicomnode.clinical.matching import with_issuer
from dicomnode.clinical.sources.document import MAX_ID, Document
from dicomnode.clinical.sources.header import patient_of, storable
from dicomnode.clinical.sources.layout import MAX_TEXT
from dicomnode.clinical.values import read_value
from dicomnode.clinical.variables import BY_LOINC, VARIABLES
from dicomnode.dicom.times import moment_of, written_at
from dicomnode.dicom.values import text_of, value_of
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import ContextSource, Observation, Patient, ReportSection

SECTION_OF = {
    **dict.fromkeys(("121062", "55115-0", "121109", "18785-6"), "indication"),
    **dict.fromkeys(("121060", "11329-0"), "history"),
    **dict.fromkeys(("121070", "59776-5"), "findings"),
    **dict.fromkeys(("121072", "19005-8", "121076", "55110-1"), "impression"),
}
"""Headings of CID 7001, in DCM as they were and in LOINC as they are."""
MAX_DEPTH = 32
"""Deeper trees are no reports."""


@dataclass(slots=True)
class ReportReader:
    """Reads one report.

    Attributes
    ----------
    issuer : of patient IDs that state none.
    skipped : why single values were not taken.
    """

    zone: str
    issuer: str = ""
    skipped: list[ContextRefusal] = field(default_factory=list)

    def read(self, ds: Dataset) -> Document:
        """What a report tells; nothing where it tells nothing that the node knows.

        Raises
        ------
        ContextError : it does not say whose it is.
        """
        stated = with_issuer(patient_of(ds), self.issuer)
        if not 0 < len(stated.patient_id) <= MAX_ID:
            raise ContextError([("", ContextRefusal.NO_PATIENT)])
        items = list(_walk(ds))
        values = (self._observation(item, ds, stated) for _, item in items if text_of(item, "ValueType") == "NUM")
        return Document(tuple(value for value in values if value is not None), tuple(self._sections(items, ds, stated)))

    def _observation(self, item: Dataset, ds: Dataset, patient: Patient) -> Observation | None:
        code, scheme = _concept(item, "ConceptNameCodeSequence")
        measured = _first(item, "MeasuredValueSequence")
        name = BY_LOINC.get(code) if scheme == "LN" else None
        if name is None or measured is None:
            return None
        unit, _ = _concept(measured, "MeasurementUnitsCodeSequence")
        observed_at = moment_of(text_of(item, "ObservationDateTime"), ds, self.zone) or written_at(ds, self.zone)
        try:
            if observed_at is None and not VARIABLES[name].lasts:
                raise ContextError([("", ContextRefusal.NO_TIME)])
            number = text_of(measured, "NumericValue")
            value = read_value(name, number, unit, loinc=code, zone=ZoneInfo(self.zone))
        except ContextError as fault:
            self.skipped += [why for _, why in fault.faults]
            return None
        if value is None:
            return None
        return Observation(
            patient=patient,
            name=name,
            value=value,
            unit=VARIABLES[name].unit,
            source=ContextSource.SR,
            observed_at=observed_at,
            provenance=storable(text_of(ds, "SOPInstanceUID")),
        )

    def _sections(self, items: list[tuple[str, Dataset]], ds: Dataset, patient: Patient) -> Iterator[ReportSection]:
        texts: dict[str, list[str]] = {}
        for section, item in items:
            text = text_of(item, "TextValue")
            if text_of(item, "ValueType") == "TEXT" and text:
                texts.setdefault(section, []).append(text)
        if set(texts) - {""}:
            texts.pop("", None)  # what stands outside of the sections says who wrote it, and the like
        moment = written_at(ds, self.zone)
        for section, parts in texts.items():
            yield ReportSection(
                patient=patient,
                section=section or "report",
                text=storable("\n".join(parts))[:MAX_TEXT],
                author=_author(ds),
                source=ContextSource.SR,
                written_at=moment,
                provenance=storable(text_of(ds, "SOPInstanceUID")),
            )


def _walk(ds: Dataset, section: str = "", depth: int = 0) -> Iterator[tuple[str, Dataset]]:
    """Every content item with the section that it stands in."""
    if depth > MAX_DEPTH:
        return
    for item in value_of(ds, "ContentSequence") or ():
        inner = SECTION_OF.get(_concept(item, "ConceptNameCodeSequence")[0], section)
        yield inner, item
        yield from _walk(item, inner, depth + 1)


def _first(ds: Dataset, keyword: str) -> Dataset | None:
    found = value_of(ds, keyword)
    return found[0] if found else None


def _concept(item: Dataset, keyword: str) -> tuple[str, str]:
    """Code value and scheme; both empty where there is none."""
    code = _first(item, keyword)
    return ("", "") if code is None else (text_of(code, "CodeValue"), text_of(code, "CodingSchemeDesignator"))


def _author(ds: Dataset) -> str:
    """Who verified it, else who wrote it."""
    for keyword, name in (
        ("VerifyingObserverSequence", "VerifyingObserverName"),
        ("AuthorObserverSequence", "PersonName"),
    ):
        observer = _first(ds, keyword)
        if observer is not None and text_of(observer, name):
            letters = text_of(observer, name).partition("=")[0]
            return storable(" ".join(letters.replace("^", " ").split()))
    return ""

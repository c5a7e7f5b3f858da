"""Values and texts of patients from a JSON or CSV document: the drop folder, and ``process --context``.

The format, with examples, stands in ``docs/context.md``. A document is taken whole or not at all: what is in the
folder of failures has stored nothing, and can be mended and sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.layout import Fault, PatientPage, PatientPart, TextPart, ValuePart, pages_of, within
from dicomnode.clinical.values import name_of, read_birth_date, read_moment, read_sex, read_value, refused
from dicomnode.clinical.variables import SECTIONS, VARIABLES
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import ContextSource, Observation, Patient, ReportSection

MAX_BYTES = 16 << 20
MAX_ID = 64
"""PatientID is an LO (DICOM PS3.5 6.2)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Document:
    """What a document holds."""

    observations: tuple[Observation, ...]
    texts: tuple[ReportSection, ...]


@dataclass(slots=True)
class Reader:
    """Reads one document.

    Attributes
    ----------
    zone : of times without an offset.
    issuer : of patient IDs that state none.
    for_one_scan : it comes with the images: it need neither name the patient nor the times.
    faults : found so far, each with its place in the document.
    """

    zone: ZoneInfo
    issuer: str = ""
    for_one_scan: bool = False
    faults: list[Fault] = field(default_factory=list)

    def read(self, content: bytes) -> Document:
        """The values and texts of a document.

        Raises
        ------
        ContextError : with every fault of the document.
        """
        if len(content) > MAX_BYTES:
            raise refused(ContextRefusal.TOO_LARGE)
        pages = list(pages_of(_text(content), self.faults))
        observations = [one for where, page in pages for one in self._observations(where, page)]
        texts = [one for where, page in pages for one in self._texts(where, page)]
        if self.faults:
            raise ContextError(self.faults)
        if not observations and not texts:
            raise refused(ContextRefusal.NOTHING_IN_IT)
        return Document(tuple(observations), tuple(texts))

    def _observations(self, where: str, page: PatientPage) -> Iterator[Observation]:
        patient = self._patient(where, page.patient)
        for place, value in enumerate(page.values):
            at = within(where, f"values[{place}]")
            made = self._at(at, partial(self._observation, patient, value, at))
            if made is not None:
                yield made

    def _observation(self, patient: Patient, part: ValuePart, where: str) -> Observation | None:
        name = name_of(part.name.strip(), part.loinc)
        variable = VARIABLES[name]
        value = read_value(name, part.value, part.unit, loinc=part.loinc, zone=self.zone)
        observed_at = self._moment(part.observed_at, is_needed=not variable.lasts)
        if value is None:
            return None
        return Observation(
            patient=patient,
            name=name,
            value=value,
            unit=variable.unit,
            source=ContextSource.FILE,
            observed_at=observed_at,
            provenance=where,
        )

    def _texts(self, where: str, page: PatientPage) -> Iterator[ReportSection]:
        patient = self._patient(where, page.patient)
        for place, text in enumerate(page.texts):
            at = within(where, f"texts[{place}]")
            made = self._at(at, partial(self._section, patient, text, at))
            if made is not None:
                yield made

    def _section(self, patient: Patient, part: TextPart, where: str) -> ReportSection:
        if part.section not in SECTIONS:
            raise refused(ContextRefusal.UNKNOWN_WORD)
        if not part.text.strip():
            raise refused(ContextRefusal.MISSING_FIELD)
        return ReportSection(
            patient=patient,
            section=part.section,
            text=part.text.strip(),
            author=part.author.strip(),
            source=ContextSource.FILE,
            written_at=self._moment(part.written_at, is_needed=True),
            provenance=where,
        )

    def _patient(self, where: str, part: PatientPart) -> Patient:
        patient_id = part.id.strip()
        if len(patient_id) > MAX_ID or not (patient_id or self.for_one_scan):
            self._fault(within(where, "patient.id"), ContextRefusal.NO_PATIENT)
        return Patient(
            patient_id=patient_id,
            issuer=part.issuer.strip() or (self.issuer if patient_id else ""),
            birth_date=self._at(within(where, "patient.birth_date"), partial(read_birth_date, part.birth_date)) or "",
            sex=self._at(within(where, "patient.sex"), partial(read_sex, part.sex)) or "",
        )

    def _moment(self, text: str, *, is_needed: bool) -> float | None:
        if text.strip():
            return read_moment(text, self.zone)
        if is_needed and not self.for_one_scan:
            raise refused(ContextRefusal.NO_TIME)
        return None

    def _at(self, where: str, read: Callable[[], T]) -> T | None:
        """What is read there; None where it is refused, which is noted."""
        try:
            return read()
        except ContextError as fault:
            for _, why in fault.faults:
                self._fault(where, why)
            return None

    def _fault(self, where: str, why: ContextRefusal) -> None:
        if (where, why) not in self.faults:
            self.faults.append((where, why))


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise refused(ContextRefusal.NOT_READABLE) from fault

"""Values from Observation resources of FHIR R4, and from their components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.fhir.moments import observed_at
from dicomnode.clinical.sources.fhir.shapes import (
    Json,
    codings,
    extension,
    is_stated,
    part,
    parts,
    resource_id,
    words,
)
from dicomnode.clinical.values import Value, read_value, refused
from dicomnode.clinical.variables import BY_LOINC, VARIABLES, Nature
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import ContextSource, Observation, Patient

LOINC = "http://loinc.org"
PANELS = ("85354-9", "55284-4", "35088-4")
"""Of blood pressure and of the Glasgow Coma Scale: their values stand in the components."""
COUNTING = frozenset({"final", "amended", "corrected", "preliminary"})
"""Others take back what the resource told before: cancelled, entered in error, not measured yet."""
_ORDINAL = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
)
_YES_NO = {
    **dict.fromkeys(("373066001", "LA33-6", "Y", "true"), True),
    **dict.fromkeys(("373067005", "LA32-8", "N", "false"), False),
}
"""Codes of SNOMED CT, LOINC answers and HL7 table 0136."""


@dataclass(frozen=True, slots=True)
class ObservationReader:
    """Reads resources about one patient.

    Attributes
    ----------
    codes : ``system|code`` of the site's own -> variable.
    skipped : why single values were not taken.
    """

    patient: Patient
    zone: ZoneInfo
    codes: Mapping[str, str]
    skipped: list[ContextRefusal]

    def read(self, resource: Json) -> list[Observation]:
        """Its values, under its own code and those of its components; none where it does not count."""
        if words(resource, "status") not in COUNTING:
            return []
        made = (self._made(resource, holder) for holder in (resource, *parts(resource, "component")))
        return [one for one in made if one is not None]

    def _made(self, resource: Json, holder: Json) -> Observation | None:
        name, loinc = self._variable(part(holder, "code"))
        if not name or not _has_value(holder):
            return None
        try:
            moment = observed_at(resource, self.zone, lasts=VARIABLES[name].lasts)
            value = self._value(name, loinc, holder)
        except ContextError as fault:
            self.skipped.extend(why for _, why in fault.faults)
            return None
        if value is None:
            return None
        return Observation(
            patient=self.patient,
            name=name,
            value=value,
            unit=VARIABLES[name].unit,
            source=ContextSource.FHIR,
            observed_at=moment,
            provenance=resource_id(resource),
        )

    def _variable(self, concept: Json) -> tuple[str, str]:
        """Name and LOINC code; both empty where no coding is known."""
        for system, code, _ in codings(concept):
            if system == LOINC and code in BY_LOINC:
                return BY_LOINC[code], code
            if f"{system}|{code}" in self.codes:
                return self.codes[f"{system}|{code}"], ""
        return "", ""

    def _value(self, name: str, loinc: str, holder: Json) -> Value | None:
        if is_stated(holder, "dataAbsentReason"):
            return None
        if is_stated(holder, "valueQuantity"):
            return self._quantity(name, loinc, part(holder, "valueQuantity"))
        if is_stated(holder, "valueCodeableConcept"):
            return self._coded(name, part(holder, "valueCodeableConcept"))
        plain = next(holder[key] for key in _PLAIN if is_stated(holder, key))
        if not isinstance(plain, str | bool | int | float):
            raise refused(ContextRefusal.NOT_A_NUMBER)
        return read_value(name, plain, loinc=loinc, zone=self.zone)

    def _quantity(self, name: str, loinc: str, quantity: Json) -> Value | None:
        if is_stated(quantity, "comparator"):
            raise refused(ContextRefusal.ONLY_A_LIMIT)
        value = quantity.get("value")
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise refused(ContextRefusal.NOT_A_NUMBER)
        code, unit = words(quantity, "code"), words(quantity, "unit")
        try:
            return read_value(name, value, code or unit, loinc=loinc, zone=self.zone)
        except ContextError as fault:
            # the text may say what the code does not: FEU of a D-dimer
            if not unit or unit == code or fault.faults[0][1] is not ContextRefusal.UNKNOWN_UNIT:
                raise
            return read_value(name, value, unit, loinc=loinc, zone=self.zone)

    def _coded(self, name: str, concept: Json) -> Value | None:
        for value in _meant(name, concept):
            return read_value(name, value, zone=self.zone)
        raise refused(ContextRefusal.UNKNOWN_WORD)


_PLAIN = ("valueInteger", "valueBoolean", "valueString", "valueDateTime")


def _has_value(holder: Json) -> bool:
    return any(is_stated(holder, key) for key in (*_PLAIN, "valueQuantity", "valueCodeableConcept", "dataAbsentReason"))


def _meant(name: str, concept: Json) -> Iterator[Value]:
    """What a coded answer may mean to a variable: its points, yes or no, one of its words."""
    nature, text = VARIABLES[name].nature, words(concept, "text")
    for _, code, coding in codings(concept):
        points = extension(coding, *_ORDINAL).get("valueDecimal")
        if nature is Nature.NUMBER and isinstance(points, int | float) and not isinstance(points, bool):
            yield points
        if nature is Nature.YES_NO and code in _YES_NO:
            yield _YES_NO[code]
        if nature is Nature.WORD and "_".join(code.casefold().split()) in VARIABLES[name].words:
            yield code
    if nature is not Nature.MOMENT and text:
        yield text

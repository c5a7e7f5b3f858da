"""Yes or no from Condition resources of FHIR R4: what is confirmed, and of which patients may be told."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dicomnode.clinical.diagnoses import Diagnosis, Scheme, diagnosis_of
from dicomnode.clinical.sources.fhir.moments import began_at
from dicomnode.clinical.sources.fhir.shapes import Json, codes_of, codings, extension, part, resource_id, words
from dicomnode.clinical.values import refused
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import ContextSource, Observation, Patient

SCHEMES = {
    **dict.fromkeys(
        (
            "http://hl7.org/fhir/sid/icd-10",
            "http://hl7.org/fhir/sid/icd-10-cm",
            "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
            "http://fhir.de/CodeSystem/dimdi/icd-10-gm",
            "urn:oid:2.16.840.1.113883.6.3",
            "urn:oid:2.16.840.1.113883.6.90",
        ),
        Scheme.ICD10,
    ),
    **dict.fromkeys(("http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"), Scheme.SNOMED),
}
OVER = frozenset({"inactive", "remission", "resolved"})
CERTAINTY = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"
"""Of ICD-10-GM in Germany: A excluded, V suspected, Z state after, G certain."""
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class ConditionReader:
    """Reads resources about one patient.

    Attributes
    ----------
    scanned_at : seconds since the epoch; None where it is not known.
    skipped : why single diagnoses were not taken.
    """

    patient: Patient
    zone: ZoneInfo
    scanned_at: float | None
    skipped: list[ContextRefusal]

    def read(self, resource: Json) -> list[Observation]:
        """The variables that are true by it; none where it does not count.

        A diagnosis that is suspected, refuted or entered in error says nothing, in particular not "no".
        """
        verified = codes_of(part(resource, "verificationStatus"))
        if verified and "confirmed" not in verified:
            return []
        is_over = bool(codes_of(part(resource, "clinicalStatus")) & OVER)
        try:
            moment = began_at(resource, self.zone)
            found = self._diagnoses(part(resource, "code"), moment, is_over=is_over)
        except ContextError as fault:
            self.skipped.extend(why for _, why in fault.faults)
            return []
        return [self._observation(resource, name, moment) for name in sorted(found)]

    def _diagnoses(self, concept: Json, moment: float | None, *, is_over: bool) -> set[str]:
        found = set()
        for system, code, coding in codings(concept):
            scheme = SCHEMES.get(system)
            diagnosis = None if scheme is None else diagnosis_of(scheme, code)
            certainty = words(part(extension(coding, CERTAINTY), "valueCoding"), "code")
            if diagnosis is None or certainty in ("A", "V"):
                continue
            if (is_over or certainty == "Z") and not diagnosis.stays:
                continue
            self._require_before(diagnosis, moment)
            found.add(diagnosis.variable)
        return found

    def _require_before(self, diagnosis: Diagnosis, moment: float | None) -> None:
        """Of a stroke: that it is not the one that the patient came with.

        Raises
        ------
        ContextError : it may be.
        """
        if not diagnosis.is_event:
            return
        if moment is None or self.scanned_at is None or moment > self.scanned_at - DAY_S:
            raise refused(ContextRefusal.NO_TIME)

    def _observation(self, resource: Json, name: str, moment: float | None) -> Observation:
        return Observation(
            patient=self.patient,
            name=name,
            value=True,
            source=ContextSource.FHIR,
            observed_at=moment,
            provenance=resource_id(resource),
        )

"""Patient IDs of DICOM as identifiers of FHIR: the issuer decides the system."""

from __future__ import annotations

from dicomnode.config.clinical import Clinical
from dicomnode.store.clinical.patients import PatientKey


def identifier_of(clinical: Clinical, key: PatientKey) -> tuple[str, str] | None:
    """System and value; None where there is no ID, or nobody said which system its issuer stands for.

    The same number by another issuer is another patient: no system is guessed.
    """
    patient_id, issuer = key
    fhir = clinical.fhir
    own = fhir.identifier_system if issuer == clinical.issuer else ""
    system = fhir.identifier_systems.get(issuer, own)
    return (system, patient_id) if system and patient_id else None

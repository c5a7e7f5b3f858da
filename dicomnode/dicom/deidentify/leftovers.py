"""The last look at what leaves: whether anything that named the patient or the hospital still stands in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicomnode.dicom.deidentify.profile import is_of_the_standard

NAMING = frozenset(
    {
        *("PatientID", "OtherPatientIDs", "PatientBirthDate", "IssuerOfPatientID", "PatientAddress", "AccessionNumber"),
        *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber"),
        *("PatientTelephoneNumbers", "RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID"),
        *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest", "MedicalRecordLocator"),
    }
)
"""Attributes whose value alone names somebody; besides, every person's name and every UID does."""
SHORTEST = 4
"""Characters of a value that is looked for: a shorter one stands everywhere by chance."""
BULK = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")


def names_in(ds: Dataset) -> set[str]:
    """Values of a data set that name a person, a hospital, a device or an instance, in lower case."""
    found: set[str] = set()
    for element in ds.iterall():
        if element.VR == "PN":
            found.update(part for text in _texts(element) for part in text.replace("=", "^").split("^"))
        elif element.VR == "UI":
            found.update(uid for uid in _texts(element) if not is_of_the_standard(uid))
        elif element.keyword in NAMING:
            found.update(_texts(element))
    return {text.strip().lower() for text in found if len(text.strip()) >= SHORTEST}


def clean_texts(ds: Dataset, names: Collection[str]) -> None:
    """Put a dummy in place of every text of a report's content that holds one of the names (PS3.15 E.3.4)."""
    for element in ds.iterall():
        if element.keyword == "TextValue" and any(name in str(element.value).lower() for name in names):
            element.value = "REMOVED"


def still_named(ds: Dataset, names: Iterable[str]) -> str:
    """Keyword of an attribute that still holds one of the names; empty where none does. Pixels are not looked at."""
    wanted = tuple(names)
    for element in ds.iterall():
        if element.VR not in BULK:
            said = " ".join(_texts(element)).lower()
            if any(name in said for name in wanted):
                return str(element.keyword or element.tag)
    return ""


def _texts(element: DataElement) -> Iterator[str]:
    if element.VR == "SQ" or element.value is None:
        return
    values = element.value if element.VM > 1 else [element.value]
    yield from (str(value) for value in values)

"""The last look at what leaves: whether anything that named the patient or the hospital still stands in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicomnode.dicom.deidentify.profile import KEPT_UIDS, is_of_the_standard

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
PUBLIC_SCHEMES = frozenset({"DCM", "SCT", "SRT", "UCUM", "RADLEX", "99DCMNODE"})
TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
NUMBERS = ("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV")
BULK = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")


def names_in(ds: Dataset) -> set[str]:
    """Values of a data set that name a person, a hospital, a device or an instance, in lower case."""
    found: set[str] = set()
    for element in ds.iterall():
        if element.VR == "PN":
            found.update(part for text in _texts(element) for part in text.replace("=", "^").split("^"))
        elif element.VR == "UI" and element.keyword not in KEPT_UIDS:
            found.update(uid for uid in _texts(element) if not is_of_the_standard(uid))
        elif element.keyword in NAMING:
            found.update(_texts(element))
    return {text.strip().lower() for text in found if len(text.strip()) >= SHORTEST}


def clean_texts(ds: Dataset, names: Collection[str]) -> None:
    """Put a dummy in place of every text that holds one of the names, whatever the profile says of its attribute.

    In the content of a report that is the option to clean structured content (PS3.15 E.3.4); elsewhere scanners write
    names where none belong.
    """
    holds = _finder(names)
    for element in _free(ds):
        if element.VR in TEXTS and holds(" ".join(_texts(element))):
            element.value = "REMOVED"


def still_named(ds: Dataset, names: Collection[str]) -> str:
    """Keyword of an attribute that still holds one of the names as a word; empty where none does.

    Pixels are not looked at, nor words of fixed lists: a patient may be called Head or Bone.
    """
    holds = _finder(names)
    for element in _free(ds):
        if holds(" ".join(_texts(element))):
            return str(element.keyword or element.tag)
    return ""


def _finder(names: Collection[str]) -> Callable[[str], bool]:
    if not names:
        return lambda _text: False
    longest_first = sorted(names, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    return lambda text: pattern.search(text.lower()) is not None


def _free(ds: Dataset) -> Iterator[DataElement]:
    """Elements that may say anything, at every depth: no pixels, no coded strings, no codes of public vocabularies."""
    is_public = str(ds.get("CodingSchemeDesignator", "")) in PUBLIC_SCHEMES
    for element in ds:
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _free(item)
        elif element.VR not in (*BULK, *NUMBERS, "CS") and not (
            is_public and element.keyword in ("CodeMeaning", "CodeValue")
        ):
            yield element


def _texts(element: DataElement) -> Iterator[str]:
    if element.VR == "SQ" or element.value is None:
        return
    values = element.value if element.VM > 1 else [element.value]
    yield from (str(value) for value in values)

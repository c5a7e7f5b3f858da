"""Whose result it is: patient and study attributes of the newest header, and the source slices as references.

A result must land in the source's study and under the source's patient: PACS match by PatientID, AccessionNumber and
study attributes, and dcentvfy compares them all. What identifies is carried as it stands, even where it breaks a value
rule; a date, age or number that cannot be read is emptied, or left out where the standard lets it be absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydicom.config import IGNORE, RAISE, disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from dicomnode.dicom.charsets import carry, text_vr_of
from dicomnode.dicom.uids import derived_uid, is_valid_uid
from dicomnode.dicom.values import number_of, text_of, value_of
from dicomnode.encode.standard import faults
from dicomnode.records import Case, Stack

PATIENT_KEYWORDS = (
    # Patient, PS3.3 C.7.1.1 (without the animal's breed and strain)
    "ReferencedPatientSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "SourcePatientGroupIdentificationSequence",
    "GroupOfPatientsIdentificationSequence",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar",
    "PatientAlternativeCalendar",
    "PatientSex",
    "QualityControlSubject",
    "OtherPatientNames",
    "OtherPatientIDsSequence",
    "ReferencedPatientPhotoSequence",
    "EthnicGroup",
    "EthnicGroupCodeSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    # Clinical Trial Subject, C.7.1.3
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "IssuerOfClinicalTrialProtocolID",
    "OtherClinicalTrialProtocolIDsSequence",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "IssuerOfClinicalTrialSiteID",
    "ClinicalTrialSubjectID",
    "IssuerOfClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "IssuerOfClinicalTrialSubjectReadingID",
    "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
)
STUDY_KEYWORDS = (
    # General Study, C.7.2.1
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "ConsultingPhysicianIdentificationSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence",
    "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence",
    "ReferencedStudySequence",
    "StudyID",
    "RequestingService",
    "RequestingServiceCodeSequence",
    "ReasonForPerformedProcedureCodeSequence",
    # Patient Study, C.7.2.2
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "PatientAge",
    "PatientSize",
    "PatientSizeCodeSequence",
    "PatientBodyMassIndex",
    "MeasuredAPDimension",
    "MeasuredLateralDimension",
    "PatientWeight",
    "MedicalAlerts",
    "Allergies",
    "Occupation",
    "SmokingStatus",
    "AdditionalPatientHistory",
    "PregnancyStatus",
    "LastMenstrualDate",
    "PatientSexNeutered",
    "ReasonForVisit",
    "ReasonForVisitCodeSequence",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "ServiceEpisodeDescription",
    "IssuerOfServiceEpisodeIDSequence",
    "PatientState",
    # Clinical Trial Study, C.7.2.3
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "LongitudinalTemporalOffsetFromEvent",
    "LongitudinalTemporalEventType",
    "ClinicalTrialTimePointTypeCodeSequence",
    "IssuerOfClinicalTrialTimePointID",
    "ConsentForClinicalTrialUseSequence",
)
PLACE_KEYWORDS = ("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName")
"""General Equipment, C.7.5.1: where the node stands is taken to be where the scanner stands."""

TYPE_2_KEYWORDS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
"""Written empty where the source lacks them."""

_CARRIED = (*PATIENT_KEYWORDS, *STUDY_KEYWORDS, *PLACE_KEYWORDS)
_MODULES = (
    "patient",
    "clinical-trial-subject",
    "general-study",
    "patient-study",
    "clinical-trial-study",
)
_CHECKED_VRS = frozenset({"AS", "DA", "DS", "DT", "FD", "IS", "TM", "US"})
"""An unreadable value of these says nothing; texts and identifiers are carried as they stand."""
_TIME_VRS = frozenset({"AS", "DA", "DT", "TM"})
_SEXES = frozenset({"M", "F", "O"})
_PLAIN_TEXT = r"[ -~]{0,64}"
_PLAIN_FORMS = {
    "StudyInstanceUID": r"[0-9.]{1,64}",
    "PatientBirthDate": r"[0-9]{8}",
    "StudyDate": r"[0-9]{8}",
    "StudyTime": r"[0-9]{6}",
    "PatientSex": r"[MFO]",
}
"""What :func:`plain_identity_of` takes."""


def identity_of(header: Dataset) -> Dataset:
    """Patient, study and place attributes of ``header`` as a result carries them.

    Parameters
    ----------
    header : the newest header received of the series; any character set.

    Returns
    -------
    Dataset : decoded by the header's own character set; SpecificCharacterSet is ISO_IR 192 where a text is not ASCII,
        else absent. Type 2 attributes are always present, other empty ones never.
    """
    identity = Dataset()
    with disable_value_validation():  # an over-long identifier is carried as it stands, and not printed in a warning
        carry(header, identity, [keyword for keyword in _CARRIED if _is_readable(header, keyword)])
        _drop_faulty_sequences(identity)
    for keyword in TYPE_2_KEYWORDS:
        if keyword not in identity:
            identity[keyword] = DataElement(keyword, dictionary_VR(keyword), None)
    _say_how_deidentified(identity)
    return identity


def plain_identity_of(header: Dataset) -> Dataset:
    """The least that a report about a failure carries: study and patient, read off the bytes.

    It shares nothing with :func:`identity_of`, so that a value which breaks that cannot break the report too: no
    sequence is looked at, nothing is converted, and what is not plain ASCII of its form is left empty.

    Returns
    -------
    Dataset : StudyInstanceUID and the type 2 attributes.
    """
    identity = Dataset()
    for keyword in ("StudyInstanceUID", *TYPE_2_KEYWORDS):
        text = _plain_text(header, keyword)
        value = text if re.fullmatch(_PLAIN_FORMS.get(keyword, _PLAIN_TEXT), text) else ""
        identity[keyword] = DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE)
    return identity


def _plain_text(header: Dataset, keyword: str) -> str:
    raw: Any = header.get_item(keyword) if keyword in header else None
    value = b"" if raw is None else raw.value
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value or "")).strip(" \0")


def reference_datasets(case: Case, identity: Dataset) -> tuple[Dataset, ...]:
    """The source slices with what a reference needs, and nothing that highdicom could stumble over.

    Real headers lack type 2 attributes, hold values outside enumerations, or state a SpacingBetweenSlices that their
    positions contradict; each reference carries the case's identity and the slice's own geometry.

    Returns
    -------
    (slices,) : in stack order, without pixels.
    """
    stack = case.volume.stack
    first = case.sources[0]
    stated = text_of(first, "FrameOfReferenceUID")
    derived = derived_uid("frame of reference", text_of(first, "SeriesInstanceUID"))
    frame_of_reference = stated if is_valid_uid(stated) else derived
    return tuple(
        _reference(source, identity, stack, index, frame_of_reference) for index, source in enumerate(case.sources)
    )


def _reference(source: Any, identity: Dataset, stack: Stack, index: int, frame_of_reference: str) -> Dataset:
    ref = bare_reference(str(source.SOPClassUID), str(source.SOPInstanceUID), str(source.SeriesInstanceUID), identity)
    ref.Modality = "CT"
    ref.FrameOfReferenceUID = frame_of_reference
    ref.Rows, ref.Columns = stack.rows, stack.columns
    # The decimal strings as received: a frame shall lie on its slice to the last digit.
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        ref[keyword] = DataElement(keyword, "DS", list(source[keyword].value))
    ref.SliceThickness = slice_thickness_mm(source, stack, index)
    return ref


def bare_reference(sop_class_uid: str, sop_instance_uid: str, series_uid: str, identity: Dataset) -> Dataset:
    """An instance of the study with what a reference to it needs, and no geometry."""
    ref = Dataset()
    ref.SOPClassUID, ref.SOPInstanceUID, ref.SeriesInstanceUID = sop_class_uid, sop_instance_uid, series_uid
    ref.StudyInstanceUID = str(identity.StudyInstanceUID)
    ref.PatientID = ref.PatientName = ref.PatientBirthDate = ref.PatientSex = ""
    ref.AccessionNumber = ref.StudyID = ref.StudyDate = ref.StudyTime = ""
    return ref


def slice_thickness_mm(source: Any, stack: Stack, index: int) -> Any:
    """SliceThickness of the source as received; its share of the stack where the header has none."""
    is_stated = (number_of(source, "SliceThickness") or 0) > 0
    return source.SliceThickness if is_stated else round(float(stack.weights_mm[index]), 4)


def _is_readable(header: Dataset, keyword: str) -> bool:
    """Whether there is a value, and it says something.

    Texts are looked at as bytes: pydicom would decode them, and put U+FFFD where it cannot.
    """
    raw: Any = header.get_item(keyword) if keyword in header else None
    if text_vr_of(raw):
        return bool((raw.value or b"").strip(b" \0"))
    if value_of(header, keyword) is None:
        return False
    if keyword == "PatientSex":
        return str(header.PatientSex) in _SEXES
    element = header[keyword]
    if element.VR not in _CHECKED_VRS:
        return True
    values = element.value if element.VM > 1 else [element.value]
    try:
        for value in values:
            validate_value(element.VR, str(value) if element.VR in _TIME_VRS else value, RAISE)
    except (TypeError, ValueError):
        return False
    return True


def _drop_faulty_sequences(identity: Dataset) -> None:
    """Leave out optional sequences with incomplete items: a fault of the source must not become one of the result."""
    faulty = {keyword for keyword, _ in faults(identity, _MODULES)}
    faulty |= {element.keyword for element in identity if element.VR == "SQ" and not _has_valid_uids(element.value)}
    for keyword in faulty:
        if keyword in identity and identity[keyword].VR == "SQ":
            del identity[keyword]


def _has_valid_uids(items: Iterable[Dataset]) -> bool:
    elements = (element for item in items for element in item.iterall() if element.VR == "UI")
    return all(is_valid_uid(str(element.value)) for element in elements if element.VM == 1)


def _say_how_deidentified(identity: Dataset) -> None:
    """PatientIdentityRemoved YES demands a method (type 1C, C.7.1.1); many anonymisers state none."""
    methods = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
    if str(identity.get("PatientIdentityRemoved", "")) == "YES" and not any(key in identity for key in methods):
        identity.DeidentificationMethod = "Not stated by the source"

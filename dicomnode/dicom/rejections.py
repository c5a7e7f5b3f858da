"""Rejection notes as archives and modalities send them: key objects that say what must no longer be used.

DICOM PS3.16 CID 7011, PS3.3 A.35.4; IHE Radiology, Image Object Change Management (RAD-66).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from dicomnode.dicom.uids import is_valid_uid
from dicomnode.records import RejectionNote

TITLES: dict[str, str] = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}
"""Code value (DCM) of the document title -> its meaning."""


def rejection_in(ds: Dataset) -> RejectionNote | None:
    """What a key object rejects; None where it is a key object of another kind.

    Parameters
    ----------
    ds : of SOP class Key Object Selection Document. The instances are those of its evidence and of its content.
    """
    concept = next(iter(ds.get("ConceptNameCodeSequence") or ()), Dataset())
    code = str(concept.get("CodeValue") or "").strip()
    if str(concept.get("CodingSchemeDesignator") or "").strip() != "DCM" or code not in TITLES:
        return None
    found = dict.fromkeys([*_evidence(ds), *_content(ds)])
    instances = tuple(uid for uid in found if is_valid_uid(uid))
    return RejectionNote(code, TITLES[code], str(ds.get("SOPInstanceUID") or ""), instances)


def _evidence(ds: Dataset) -> Iterator[str]:
    for study in ds.get("CurrentRequestedProcedureEvidenceSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            yield from _referenced(series)


def _content(ds: Dataset) -> Iterator[str]:
    for item in ds.get("ContentSequence") or ():
        yield from _referenced(item)


def _referenced(item: Dataset) -> Iterator[str]:
    for reference in item.get("ReferencedSOPSequence") or ():
        yield str(reference.get("ReferencedSOPInstanceUID") or "")

"""Query SCU: which instances of a series a destination has (C-FIND, DICOM PS3.4 annex C.4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicomnode.config import Destination
from dicomnode.deliver.association import end_association, request_association
from dicomnode.deliver.outgoing import TRANSCODABLE
from dicomnode.dicom.statuses import SUCCESS, Category, category, sentence
from dicomnode.errors import AssociationRejected, DeliveryError

STUDY_ROOT_FIND = str(StudyRootQueryRetrieveInformationModelFind)

Series = tuple[str, str]
"""Study Instance UID and Series Instance UID."""


def find_instances(destination: Destination, calling_ae: str, series: Iterable[Series]) -> dict[Series, set[str]]:
    """SOP Instance UIDs that the destination says it has, per series; one association for all.

    The query is at IMAGE level with study and series given, as the hierarchical model demands (PS3.4 C.4.1.2.1): an
    instance that was filed in another study is not found.

    Raises
    ------
    AssociationRejected : no association, C-FIND is not offered, or the association was lost.
    DeliveryError : C-FIND was answered with a failure.
    """
    contexts = [build_context(STUDY_ROOT_FIND, list(TRANSCODABLE[:2]))]
    assoc = request_association(destination, calling_ae, contexts)
    try:
        if not assoc.is_established:
            raise AssociationRejected(f"{destination.ae_title} does not accept Study Root Query (C-FIND)")
        return {one: _found(assoc, *one) for one in dict.fromkeys(series)}
    except RuntimeError as fault:
        raise AssociationRejected("the association was lost before the C-FIND") from fault
    finally:
        end_association(assoc)


def _found(assoc: Association, study_uid: str, series_uid: str) -> set[str]:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID, identifier.SeriesInstanceUID = study_uid, series_uid
    identifier.SOPInstanceUID = ""
    found: set[str] = set()
    for status, answer in assoc.send_c_find(identifier, STUDY_ROOT_FIND):
        if "Status" not in status:
            raise AssociationRejected("the association was lost, or no answer came in time, during the C-FIND")
        if category(status.Status) is Category.PENDING:
            found |= _uid_of(answer, study_uid, series_uid)
        elif status.Status != SUCCESS:
            raise DeliveryError(f"C-FIND was answered with {sentence(status.Status)}")
    return found


def _uid_of(answer: Any, study_uid: str, series_uid: str) -> set[str]:
    """The instance of one answer; nothing where a peer that knows no hierarchy answers with other series."""
    if answer is None or answer.get("StudyInstanceUID", study_uid) != study_uid:
        return set()
    if answer.get("SeriesInstanceUID", series_uid) != series_uid:
        return set()
    return {str(answer.get("SOPInstanceUID", ""))} - {""}

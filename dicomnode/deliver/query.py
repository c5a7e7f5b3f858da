"""Query SCU (C-FIND, DICOM PS3.4 C.4.1): which instances a destination has, and whose study it says a study is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicomnode.config.destinations import Destination
from dicomnode.deliver.association import end_association, request_association
from dicomnode.deliver.outgoing import TRANSCODABLE
from dicomnode.dicom.identity import KEYWORDS, identity_in
from dicomnode.dicom.statuses import SUCCESS, Category, category, sentence
from dicomnode.errors import AssociationRejected, DeliveryError

STUDY_ROOT_FIND = str(StudyRootQueryRetrieveInformationModelFind)

Series = tuple[str, str]
"""Study Instance UID and Series Instance UID."""


class FindNotOffered(AssociationRejected):
    """The destination is no Query SCP: it can be asked nothing."""


def find_instances(destination: Destination, calling_ae: str, series: Iterable[Series]) -> dict[Series, set[str]]:
    """SOP Instance UIDs that the destination says it has, per series; one association for all.

    The query is at IMAGE level with study and series given, as the hierarchical model demands (PS3.4 C.4.1.2.1): an
    instance that was filed in another study is not found.

    Raises
    ------
    FindNotOffered : C-FIND is not offered.
    AssociationRejected : no association, or the association was lost.
    DeliveryError : C-FIND was answered with a failure.
    """
    with _queryable(destination, calling_ae) as assoc:
        return {one: _found(assoc, *one) for one in dict.fromkeys(series)}


def find_identities(
    destination: Destination, calling_ae: str, study_uids: Iterable[str]
) -> dict[str, list[dict[str, str]]]:
    """Whose study each is, as the destination says: keyword -> value, once for each study it has under the UID.

    More than one where it filed the UID under several patients; none where it does not have the study. One association
    for all, one query at STUDY level each.

    Raises
    ------
    FindNotOffered : C-FIND is not offered.
    AssociationRejected : no association, or the association was lost.
    DeliveryError : C-FIND was answered with a failure.
    """
    with _queryable(destination, calling_ae) as assoc:
        return {uid: _identities(assoc, uid) for uid in dict.fromkeys(study_uids)}


@contextmanager
def _queryable(destination: Destination, calling_ae: str) -> Iterator[Association]:
    contexts = [build_context(STUDY_ROOT_FIND, list(TRANSCODABLE[:2]))]
    assoc = request_association(destination, calling_ae, contexts)
    try:
        if not assoc.is_established:
            raise FindNotOffered(f"{destination.ae_title} does not accept Study Root Query (C-FIND)")
        yield assoc
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
    for answer in _answers(assoc, identifier):
        found |= _uid_of(answer, study_uid, series_uid)
    return found


def _identities(assoc: Association, study_uid: str) -> list[dict[str, str]]:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_uid
    for keyword in KEYWORDS:
        setattr(identifier, keyword, "")
    return [identity_in(answer) for answer in _answers(assoc, identifier) if _is_of(answer, study_uid)]


def _answers(assoc: Association, identifier: Dataset) -> Iterator[Any]:
    for status, answer in assoc.send_c_find(identifier, STUDY_ROOT_FIND):
        if "Status" not in status:
            raise AssociationRejected("the association was lost, or no answer came in time, during the C-FIND")
        if category(status.Status) is Category.PENDING:
            yield answer
        elif status.Status != SUCCESS:
            raise DeliveryError(f"C-FIND was answered with {sentence(status.Status)}")


def _is_of(answer: Any, study_uid: str) -> bool:
    """Whether an answer is about a study; a peer that ignores the key answers with others."""
    return answer is not None and str(answer.get("StudyInstanceUID", study_uid)) == study_uid


def _uid_of(answer: Any, study_uid: str, series_uid: str) -> set[str]:
    """The instance of one answer; nothing where a peer that knows no hierarchy answers with other series."""
    if answer is None or answer.get("StudyInstanceUID", study_uid) != study_uid:
        return set()
    if answer.get("SeriesInstanceUID", series_uid) != series_uid:
        return set()
    return {str(answer.get("SOPInstanceUID", ""))} - {""}

"""Query SCU (C-FIND, DICOM PS3.4 C.4.1): which instances a destination has, and whose study it says a study is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicomnode.config.destinations import Destination
from dicomnode.deliver.answers import Match, Series, Shown, Studies, shown_of, studies_of, uid_of
from dicomnode.deliver.one_service import association_for
from dicomnode.deliver.outgoing import TRANSCODABLE
from dicomnode.dicom.identity import KEYWORDS, identity_in
from dicomnode.dicom.statuses import SUCCESS, Category, category, sentence
from dicomnode.errors import AssociationRejected, DeliveryError

STUDY_ROOT_FIND = str(StudyRootQueryRetrieveInformationModelFind)


class FindNotOffered(AssociationRejected):
    """The destination is no Query SCP: it can be asked nothing."""


def find_instances(destination: Destination, calling_ae: str, series: Iterable[Series]) -> dict[Series, Shown]:
    """SOP Instance UIDs that the destination says it has, per series; one association for all.

    The query is at IMAGE level with study and series given, as the hierarchical model demands (PS3.4 C.4.1.2.1): an
    instance that was filed in another study is not found.

    Raises
    ------
    FindNotOffered : C-FIND is not offered.
    AssociationRejected : no association, or the association was lost.
    DeliveryError : C-FIND was answered with a failure.
    """
    with queryable(destination, calling_ae) as assoc:
        return {one: _found(assoc, *one) for one in dict.fromkeys(series)}


def find_anywhere(destination: Destination, calling_ae: str, sop_instance_uids: Iterable[str]) -> dict[str, Studies]:
    """In which studies the destination shows each instance, whatever study and series it was sent for.

    The SOP Instance UID is the only key; study and series are asked for as return keys. That is a relational query
    (PS3.4 C.4.1.2.2.1), which is proposed for and asked also where the destination does not answer to the proposal:
    many know no negotiation and answer the question all the same.

    Raises
    ------
    FindNotOffered : C-FIND is not offered.
    AssociationRejected : no association, or the association was lost.
    DeliveryError : C-FIND was answered with a failure.
    """
    with queryable(destination, calling_ae, [_relational()]) as assoc:
        return {uid: studies_of(_matches(assoc, "", "", uid), uid) for uid in dict.fromkeys(sop_instance_uids)}


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
    DeliveryError : C-FIND was answered with a failure, or with something that cannot be attributed to any study.
    """
    with queryable(destination, calling_ae) as assoc:
        return {uid: _identities(assoc, uid) for uid in dict.fromkeys(study_uids)}


def _relational() -> SOPClassExtendedNegotiation:
    """The proposal of relational queries: its first byte is 1 (PS3.4 C.5.1.1.1)."""
    proposal = SOPClassExtendedNegotiation()
    proposal.sop_class_uid = UID(STUDY_ROOT_FIND)
    proposal.service_class_application_information = b"\x01"
    return proposal


def queryable(
    destination: Destination, calling_ae: str, extended: Sequence[SOPClassExtendedNegotiation] = ()
) -> AbstractContextManager[Association]:
    context = build_context(STUDY_ROOT_FIND, list(TRANSCODABLE[:2]))
    refused = FindNotOffered(f"{destination.ae_title} does not accept Study Root Query (C-FIND)")
    return association_for("C-FIND", destination, calling_ae, context, refused=refused, extended=extended)


def _found(assoc: Association, study_uid: str, series_uid: str) -> Shown:
    return shown_of(_matches(assoc, study_uid, series_uid, ""), (study_uid, series_uid))


def _matches(assoc: Association, study_uid: str, series_uid: str, sop_instance_uid: str) -> list[Match]:
    """The answers at IMAGE level; an empty UID matches everything (PS3.4 C.2.2.2.3)."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID, identifier.SeriesInstanceUID = study_uid, series_uid
    identifier.SOPInstanceUID = sop_instance_uid
    return [_match_of(answer) for answer in answers_to(assoc, identifier)]


def _identities(assoc: Association, study_uid: str) -> list[dict[str, str]]:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_uid
    for keyword in KEYWORDS:
        setattr(identifier, keyword, "")
    answers = list(answers_to(assoc, identifier))
    if any(uid_in(answer, "StudyInstanceUID") is None for answer in answers):
        raise DeliveryError("C-FIND was answered with something of which it cannot be told which study it is about")
    return [identity_in(answer) for answer in answers if uid_in(answer, "StudyInstanceUID") in ("", study_uid)]


def answers_to(assoc: Association, identifier: Dataset) -> Iterator[Any]:
    for status, answer in assoc.send_c_find(identifier, STUDY_ROOT_FIND):
        if "Status" not in status:
            raise AssociationRejected("the association was lost, or no answer came in time, during the C-FIND")
        if category(status.Status) is Category.PENDING:
            yield answer
        elif status.Status != SUCCESS:
            raise DeliveryError(f"C-FIND was answered with {sentence(status.Status)}")


def _match_of(answer: Any) -> Match:
    return Match(*(uid_in(answer, key) for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")))


def uid_in(answer: Any, keyword: str) -> str | None:
    """The UID that an answer names; empty where it says nothing, None where it cannot be read."""
    if answer is None:
        return None
    try:
        value = answer.get(keyword)
    except (ValueError, TypeError, NotImplementedError):
        return None
    return uid_of(value if isinstance(value, MutableSequence) else [value])

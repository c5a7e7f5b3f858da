"""Which of the proposed presentation contexts are accepted (DICOM PS3.8 9.3.3.2), for pynetdicom to answer."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.uid import UID
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.contexts import STORAGE_SERVICE, TRANSFER_SYNTAXES, UNCOMPRESSED, VERIFICATION, is_storage


def contexts_for(proposed: Iterable[PresentationContext], *, may_report: bool = False) -> list[PresentationContext]:
    """The contexts to accept of those that a peer proposes, each SOP class once.

    Parameters
    ----------
    may_report : the peer is a destination, which may report on storage commitment. The node itself commits to nothing.
    """
    contexts = []
    for uid in dict.fromkeys(str(context.abstract_syntax) for context in proposed):
        if uid == STORAGE_COMMITMENT and may_report:
            context = build_context(uid, list(UNCOMPRESSED[:2]))
            # Whoever reports is the SCP of this class, though it requests the association (PS3.4 J.3.3).
            context.scu_role = context.scp_role = True
            contexts.append(context)
        elif uid == VERIFICATION:
            contexts.append(build_context(uid, list(UNCOMPRESSED)))
        elif is_storage(uid):
            contexts.append(build_context(uid, list(TRANSFER_SYNTAXES)))
    return contexts


def asks_only_for_commitment(proposed: Iterable[PresentationContext]) -> bool:
    """Whether a peer proposes storage commitment and, besides C-ECHO, nothing else."""
    asked = {str(context.abstract_syntax) for context in proposed}
    return STORAGE_COMMITMENT in asked and asked <= {STORAGE_COMMITMENT, VERIFICATION}


def storage_classes_of(proposed: Iterable[PresentationContext]) -> dict[UID, SOPClassCommonExtendedNegotiation]:
    """Tells pynetdicom that the proposed Storage SOP Classes are such, also those that it does not know.

    By the device that the standard has for it (Common Extended Negotiation, DICOM PS3.7 D.3.3.6), as if the peer had
    asked for it.
    """
    items = {}
    for uid in {str(context.abstract_syntax) for context in proposed}:
        if is_storage(uid):
            item = SOPClassCommonExtendedNegotiation()
            item.sop_class_uid, item.service_class_uid = UID(uid), UID(STORAGE_SERVICE)
            items[UID(uid)] = item
    return items

"""Storage commitment SCU (DICOM PS3.4 annex J): asks a destination to take responsibility for what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF

from dicomnode.config.destinations import Destination
from dicomnode.deliver.one_service import association_for
from dicomnode.deliver.outgoing import TRANSCODABLE
from dicomnode.dicom.commitment import (
    REQUEST_COMMITMENT,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    Reference,
    request_of,
)
from dicomnode.dicom.statuses import SUCCESS, sentence
from dicomnode.errors import AssociationRejected, DeliveryError
from dicomnode.store.deliver.commitments import take_report
from dicomnode.store.engine import Store

SAME_ASSOCIATION_S = 1.0
"""How long the association is held for peers that report on it; others open one of their own to the node."""


class CommitmentNotOffered(DeliveryError):
    """The destination is no storage commitment SCP, or says that it does not commit."""


def request_commitment(
    destination: Destination,
    calling_ae: str,
    store: Store,
    transaction_uid: str,
    references: Sequence[Reference],
    *,
    hold_s: float = SAME_ASSOCIATION_S,
) -> None:
    """N-ACTION for a transaction that is in the database already; a report on this association is written there.

    Raises
    ------
    AssociationRejected : no association, or it was lost before the answer.
    CommitmentNotOffered : the presentation context was refused, or the N-ACTION was answered with a failure.
    """
    taken, answered = threading.Event(), threading.Event()

    def on_report(event: evt.Event) -> tuple[int, None]:
        status = take_report(store, lambda: event.event_information)
        taken.set()
        return status, None

    def on_sent(event: evt.Event) -> None:
        # The first data after the report are the answer to it: a release before that would cross it.
        if taken.is_set() and isinstance(event.pdu, P_DATA_TF):
            answered.set()

    context = build_context(STORAGE_COMMITMENT, list(TRANSCODABLE[:2]))
    handlers = [(evt.EVT_N_EVENT_REPORT, on_report), (evt.EVT_PDU_SENT, on_sent)]
    refused = CommitmentNotOffered(f"{destination.ae_title} does not accept storage commitment")
    with association_for("N-ACTION", destination, calling_ae, context, refused=refused, handlers=handlers) as assoc:
        _ask(assoc, request_of(transaction_uid, references))
        answered.wait(hold_s)


def _ask(assoc: Association, information: Dataset) -> None:
    answer, _ = assoc.send_n_action(information, REQUEST_COMMITMENT, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
    status = answer.get("Status")
    if status is None:
        raise AssociationRejected("the association was lost, or no answer came in time, during the N-ACTION")
    if status != SUCCESS:
        raise CommitmentNotOffered(f"the N-ACTION was answered with {sentence(status)}")

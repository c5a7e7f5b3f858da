"""Storage and Verification SCU (DICOM PS3.4 annexes A and B): one association for a batch of files.

Foreign errors end here: whatever pynetdicom or a peer does comes out as a :class:`DeliveryError`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomnode.config.destinations import Destination
from dicomnode.deliver.association import accepted_syntaxes, end_association, request_association
from dicomnode.deliver.one_service import association_for
from dicomnode.deliver.outgoing import NATIVE, TRANSCODABLE, Outgoing, answer_timeout_s, unread
from dicomnode.dicom.statuses import DUPLICATE_SOP_INSTANCE, SUCCESS, is_stored, sentence
from dicomnode.errors import AssociationRejected, ClassNotAccepted, DeliveryError, OutcomeUnknown, StoreRefused

logger = logging.getLogger(__name__)

_MAX_CONTEXTS = 128
_ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
_NOTICE_S = 0.5
_NO_ACCEPTED_SYNTAX: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: the DIMSE status of a stored one, or the error."""

    file: Outgoing
    status: int | None
    error: DeliveryError | None = None


class StorageLink:
    """An association for storing; made by :func:`associate`."""

    def __init__(self, assoc: Association, destination: Destination) -> None:
        self._assoc = assoc
        self._destination = destination
        self._accepted = accepted_syntaxes(assoc)
        self._refused = _refused_classes(assoc) - self._accepted.keys()
        self._sent = 0
        self._lost = False

    @property
    def is_lost(self) -> bool:
        """Whether the peer had accepted something but the association is gone: nothing more can be stored over it."""
        return self._lost or (bool(self._accepted) and not self._assoc.is_established)

    def store(self, file: Outgoing) -> int:
        """C-STORE of one file; the bytes leave as they are when the peer takes their transfer syntax.

        Returns
        -------
        the DIMSE status: success, a warning (stored, though coerced: PS3.4 B.2.3), or "duplicate SOP instance"
        (0x0111): a peer that holds the instance already has what it should have, since results are named by content.

        Raises
        ------
        ResultDamaged : the bytes on disk are not those that were encoded.
        ClassNotAccepted : the presentation contexts of its class were rejected.
        AssociationRejected : no presentation context for this file, or the association was lost before it was sent.
        OutcomeUnknown : the association was lost, or no answer came in time.
        StoreRefused : the peer answered with a failure status.
        ResultAway : the file cannot be read now.
        DeliveryError : the file could not be transcoded.
        """
        syntaxes = self._syntaxes_for(file)
        if self.is_lost:
            raise AssociationRejected("the association was lost before this file was sent")
        file.check()
        answer = self._request(file, as_it_is=file.transfer_syntax_uid in syntaxes)
        status = answer.get("Status")
        if status is None:
            self._give_up()
            raise OutcomeUnknown("the association was lost, or no answer came in time, while this file was sent")
        if not is_stored(status) and status != DUPLICATE_SOP_INSTANCE:
            raise StoreRefused(f"C-STORE was answered with {sentence(status)}", status)
        if status != SUCCESS:
            logger.info("stored with a remark", extra={"action": "c_store", "status": sentence(status)})
        return int(status)

    def _syntaxes_for(self, file: Outgoing) -> tuple[str, ...]:
        accepted = self._accepted.get(file.sop_class_uid, _NO_ACCEPTED_SYNTAX)
        if file.transfer_syntax_uid not in accepted and file.transfer_syntax_uid not in TRANSCODABLE:
            accepted = _NO_ACCEPTED_SYNTAX
        if not accepted:
            fault = ClassNotAccepted if file.sop_class_uid in self._refused else AssociationRejected
            raise fault(
                f"{self._destination.ae_title} accepts no presentation context for {UID(file.sop_class_uid).name} "
                f"({file.sop_class_uid}) in {UID(file.transfer_syntax_uid).name}"
            )
        return accepted

    def _request(self, file: Outgoing, *, as_it_is: bool) -> Any:
        self._assoc.dimse_timeout = answer_timeout_s(self._destination, file.size_bytes, file.unanswered)
        self._sent += 1
        try:
            what = file.path if as_it_is and file.coercion is None else file.dataset(native=not as_it_is)
            return self._assoc.send_c_store(what, msg_id=self._sent % 0xFFFF + 1, priority=0)
        except (OSError, MemoryError) as fault:
            # Raised while the file is read, hence before anything was sent, save for a disk that fails between two
            # fragments: then the peer waits for the rest and only an abort ends that.
            self._give_up()
            raise unread(fault) from fault
        except (AttributeError, ValueError) as fault:
            raise DeliveryError(f"the file could not be read or transcoded ({type(fault).__name__})") from fault
        except Exception as fault:
            self._give_up()
            raise AssociationRejected(f"the association was given up ({type(fault).__name__})") from fault

    def _give_up(self) -> None:
        """Make sure that the association is over; where the peer ended it, pynetdicom notices a moment later."""
        self._lost = True
        deadline = time.monotonic() + _NOTICE_S
        while self._assoc.is_established and time.monotonic() < deadline:
            time.sleep(0.005)
        if self._assoc.is_established:
            self._assoc.abort()


def _refused_classes(assoc: Association) -> set[str]:
    """Classes that the peer takes in no syntax: it says so (PS3.8 9.3.3.2, result 3), or took others beside them.

    A peer that rejects everything for another reason may have a bad day.
    """
    return {
        str(context.abstract_syntax)
        for context in assoc.rejected_contexts
        if context.result == _ABSTRACT_SYNTAX_NOT_SUPPORTED or assoc.accepted_contexts
    }


@contextmanager
def associate(files: Sequence[Outgoing], destination: Destination, calling_ae: str) -> Iterator[StorageLink]:
    """One association for all of ``files``; contexts are negotiated once, from their classes and transfer syntaxes.

    A peer that accepts no presentation context at all still yields a link: each ``store`` then says what was refused.

    Raises
    ------
    AssociationRejected : no connection, no answer, or a rejection, in words.
    DeliveryError : the files need more than 128 presentation contexts.
    """
    contexts = contexts_for(files)
    if len(contexts) > _MAX_CONTEXTS:
        raise DeliveryError(f"{len(contexts)} presentation contexts are needed; an association has {_MAX_CONTEXTS}")
    assoc = request_association(destination, calling_ae, contexts)
    try:
        yield StorageLink(assoc, destination)
    finally:
        end_association(assoc)


def send(files: Sequence[Outgoing], destination: Destination, calling_ae: str) -> Iterator[Outcome]:
    """Store files over one association; yields the outcome of each, in order.

    Raises
    ------
    AssociationRejected : there is no association, hence no outcome of any file.
    """
    with associate(files, destination, calling_ae) as link:
        for file in files:
            try:
                yield Outcome(file, link.store(file))
            except DeliveryError as error:
                yield Outcome(file, getattr(error, "status", None), error)


def contexts_for(files: Sequence[Outgoing]) -> list[PresentationContext]:
    """Presentation contexts to propose: each (class, syntax) alone, and one per class to fall back on by transcoding.

    A context names the files' own syntax alone, so that the peer cannot choose another where it could take that.
    """
    pairs = dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in files)
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in pairs]
    for sop_class in dict.fromkeys(sop_class for sop_class, _ in pairs):
        own = {syntax for other, syntax in pairs if other == sop_class}
        others = [syntax for syntax in NATIVE if syntax not in own]
        if others and own & set(TRANSCODABLE):
            contexts.append(build_context(sop_class, others))
    return contexts


def echo(destination: Destination, calling_ae: str) -> None:
    """C-ECHO.

    Raises
    ------
    AssociationRejected : no association, or no answer.
    StoreRefused : the peer answered with a failure status.
    """
    refused = AssociationRejected(f"{destination.ae_title} does not accept Verification (C-ECHO)")
    with association_for("C-ECHO", destination, calling_ae, build_context(Verification), refused=refused) as assoc:
        status = assoc.send_c_echo().get("Status")
    if status is None:
        raise AssociationRejected("no answer to the C-ECHO")
    if status != SUCCESS:
        raise StoreRefused(f"C-ECHO was answered with {sentence(status)}", int(status))


def probe(destination: Destination, calling_ae: str, sop_class_uids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which SOP classes a destination takes, found by an association with the real classes; nothing is stored.

    Returns
    -------
    SOP class UID -> transfer syntaxes it accepted among the uncompressed little endian ones; empty: class refused.

    Raises
    ------
    AssociationRejected : no connection, no answer, or a rejection, in words.
    """
    contexts = [build_context(uid, syntax) for uid in sop_class_uids for syntax in NATIVE]
    assoc = request_association(destination, calling_ae, contexts)
    try:
        accepted = accepted_syntaxes(assoc)
    finally:
        end_association(assoc)
    return {uid: accepted.get(uid, _NO_ACCEPTED_SYNTAX) for uid in sop_class_uids}

"""Which of the proposed presentation contexts are accepted, and in which transfer syntax (DICOM PS3.8 9.3.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.contexts import TRANSFER_SYNTAXES, UNCOMPRESSED, VERIFICATION, is_storage
from dicomnode.receive.requests import (
    ABSTRACT_UNSUPPORTED,
    TRANSFER_UNSUPPORTED,
    USER_REJECTION,
    Answer,
    AssociationRequest,
    Proposed,
)


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context that was accepted."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


def answers_to(request: AssociationRequest, *, may_report: bool = False) -> list[Answer]:
    """What is said of the contexts that a peer proposes.

    Parameters
    ----------
    may_report : the peer is a destination, which may report on storage commitment. The node itself commits to nothing.
    """
    return [_answer_to(context, request, may_report) for context in request.proposed.values()]


def accepted_contexts(answers: Iterable[Answer]) -> dict[int, Context]:
    """The contexts that may be used, by their identifiers."""
    return {
        answer.context_id: Context(answer.context_id, answer.abstract_syntax, answer.transfer_syntax)
        for answer in answers
        if answer.result == 0
    }


def _answer_to(context: Proposed, request: AssociationRequest, may_report: bool) -> Answer:
    number, uid = context.context_id, context.abstract_syntax
    known = _transfer_syntaxes(uid, may_report)
    if not known:
        return Answer(number, context.transfer_syntaxes[0], ABSTRACT_UNSUPPORTED, uid)
    chosen = next((syntax for syntax in known if syntax in context.transfer_syntaxes), None)
    if chosen is None:
        return Answer(number, context.transfer_syntaxes[0], TRANSFER_UNSUPPORTED, uid)
    # Whoever reports is the SCP of this class, though it requests the association (PS3.4 J.3.3). Of other classes
    # nothing is said of roles: the peer is the SCU, as it is without a word.
    roles = request.roles.get(uid) if uid == STORAGE_COMMITMENT else None
    if roles is not None and not any(roles):
        return Answer(number, chosen, USER_REJECTION, uid)
    return Answer(number, chosen, 0, uid, roles)


def _transfer_syntaxes(uid: str, may_report: bool) -> Sequence[str]:
    """Those in which instances of a SOP class are taken, the best first; none where it is not accepted."""
    if uid == STORAGE_COMMITMENT:
        return UNCOMPRESSED[:2] if may_report else ()
    if uid == VERIFICATION:
        return UNCOMPRESSED
    return TRANSFER_SYNTAXES if is_storage(uid) else ()


def asks_only_for(request: AssociationRequest, *sop_classes: str) -> bool:
    """Whether a peer proposes the first of some SOP classes and, besides the others, nothing else."""
    asked = {context.abstract_syntax for context in request.proposed.values()}
    return sop_classes[0] in asked and asked <= set(sop_classes)

"""Looks for results at a destination: where they were sent, and where that says nothing, by their own UID alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

from dicomnode.deliver.answers import Shown, Studies
from dicomnode.deliver.route import Route
from dicomnode.dicom.statuses import (
    COERCION_OF_DATA_ELEMENTS,
    DUPLICATE_SOP_INSTANCE,
    Category,
    category,
    sentence,
)
from dicomnode.errors import DeliveryError
from dicomnode.store.deliver.proofs import Sent

logger = logging.getLogger(__name__)


_IN_VAIN = {
    COERCION_OF_DATA_ELEMENTS: "the destination changed it as it stored it, and does not show where",
    DUPLICATE_SOP_INSTANCE: "the destination says that it has it already, and does not show where",
}
_REMARKED = "the destination stored it twice with a remark, and does not show where"


class Verdict(StrEnum):
    """What the answers of a destination say of one result."""

    THERE = "there"
    ELSEWHERE = "elsewhere"
    ABSENT = "absent"
    UNTOLD = "untold"


class Sought(Protocol):
    """A result with the place that it was sent for."""

    @property
    def study_uid(self) -> str: ...
    @property
    def series_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...


S = TypeVar("S", bound=Sought)


def search(route: Route, due: Sequence[S], is_doubtful: Callable[[S], bool]) -> dict[S, Verdict]:
    """Look for each result in its study and series, then for what is not shown there in any study.

    Parameters
    ----------
    is_doubtful : whether a result that is not shown where it was sent is to be looked for elsewhere now.

    Raises
    ------
    DeliveryError : the first question was not answered.
    """
    found = route.find_instances([(sent.study_uid, sent.series_uid) for sent in due])
    shown = {sent: found[sent.study_uid, sent.series_uid] for sent in due}
    missed = [sent for sent in due if sent.sop_instance_uid not in shown[sent]]
    studies = _anywhere(route, [sent for sent in missed if is_doubtful(sent) or not shown[sent].is_whole])
    return {sent: _verdict(sent, shown[sent], studies.get(sent.sop_instance_uid)) for sent in due}


def _anywhere(route: Route, missed: Sequence[Sought]) -> dict[str, Studies]:
    """Where they are shown; nothing where the destination does not answer such a question, as many do not."""
    if not missed:
        return {}
    try:
        return route.find_anywhere([sent.sop_instance_uid for sent in missed])
    except DeliveryError as fault:
        logger.info("not looked for in other studies", extra={"action": "prove", "error": str(fault)})
        return {}


def _verdict(sent: Sought, shown: Shown, studies: Studies) -> Verdict:
    if sent.sop_instance_uid in shown:
        return Verdict.THERE
    if studies:
        return Verdict.THERE if studies & {"", sent.study_uid} else Verdict.ELSEWHERE
    return Verdict.ABSENT if shown.is_whole else Verdict.UNTOLD


def why_in_vain(sent: Sent) -> str:
    """Why it would change nothing to send a result again that is not shown; empty where it might.

    Any other warning than that of coercion does not say that it lies elsewhere: such a result is sent once more.
    """
    status = sent.status or 0
    if status not in _IN_VAIN and category(status) is Category.WARNING:
        return _REMARKED if sent.losses else ""
    return _IN_VAIN.get(status, "")


def why_held(sent: Sent, verdict: Verdict) -> str:
    """Why a result is held rather than sent again; empty where it is not."""
    if verdict is Verdict.THERE or (verdict is Verdict.ELSEWHERE and sent.status == COERCION_OF_DATA_ELEMENTS):
        return ""
    if verdict is Verdict.ELSEWHERE:
        return "the destination shows it in another study than it was sent for, and did not announce that"
    reason = why_in_vain(sent)
    return f"{reason}: C-STORE or STOW-RS was answered with {sentence(sent.status or 0)}" if reason else ""

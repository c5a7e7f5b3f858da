"""The decision that a series is complete: DICOM never says so, hence from what was seen, by a pure function."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnode.assemble.gate import MIN_COVERAGE_MM
from dicomnode.config.sections import Reception

MIN_IMAGES_IN_ASSOCIATION = 10
"""Some PACS open an association per image; its release says nothing about the series. Ten at once are a transfer."""
OPEN_RECHECK_S = 5.0
"""How soon to look again at a silent association that should have ended; its idle limit ends it in the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Evidence about a series at one moment. Times are seconds since the epoch, UTC.

    Attributes
    ----------
    last_instance_at : when the newest image was received.
    open_associations : how many associations that sent images of this series are still open.
    released_at : when the last of them ended by release; None where it was aborted, or none has ended.
    images_in_association : the most images of this series that came, or came again, in one association.
    contiguous : no slice is missing between those received.
    coverage_mm : from the first to the last slice along the normal.
    sender_adds_late : this sender was seen to add images to a series that had been complete.
    """

    now: float
    last_instance_at: float
    open_associations: int
    released_at: float | None
    images_in_association: int
    contiguous: bool
    coverage_mm: float
    sender_adds_late: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """Complete, or when to look again.

    Attributes
    ----------
    wait_until : seconds since the epoch; None says complete.
    why : constant phrase for the event log.
    """

    wait_until: float | None
    why: str

    @property
    def complete(self) -> bool:
        """Whether the series is complete now."""
        return self.wait_until is None


def decide(evidence: Evidence, reception: Reception) -> Decision:
    """Complete or wait.

    At once (``settle_s`` after the release) where one association brought a whole head; else, and for a sender that
    was seen to add images late, when ``quiet_period_s`` have passed since the last image. Never while an association
    that feeds the series is open.
    """
    quiet_at = evidence.last_instance_at + reception.quiet_period_s
    if evidence.open_associations > 0:
        return Decision(max(quiet_at, evidence.now + OPEN_RECHECK_S), "an association is still feeding it")
    if evidence.released_at is not None and _is_whole_head(evidence):
        settled_at = max(evidence.released_at, evidence.last_instance_at) + reception.settle_s
        # A settle time above the quiet period must not delay what the quiet period already allows.
        return _at(min(settled_at, quiet_at), evidence.now, "released with a whole head")
    return _at(quiet_at, evidence.now, "quiet")


def _is_whole_head(evidence: Evidence) -> bool:
    return (
        not evidence.sender_adds_late
        and evidence.images_in_association >= MIN_IMAGES_IN_ASSOCIATION
        and evidence.contiguous
        and evidence.coverage_mm >= MIN_COVERAGE_MM
    )


def _at(moment: float, now: float, why: str) -> Decision:
    return Decision(None if now >= moment else moment, why)

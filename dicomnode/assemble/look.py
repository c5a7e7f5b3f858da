"""What the assembler sees of a series: read and weighed without any lock, in time linear in its slices.

The decision that follows is written by a short transaction of its own, if nothing has come in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from dicomnode.assemble.choice import protocols_in_turn
from dicomnode.assemble.copies import is_one_image, refuse_conflicts, shared
from dicomnode.assemble.gate import extent_of
from dicomnode.assemble.selection import Candidate, candidate_of, same_acquisition
from dicomnode.config.protocols import Protocol
from dicomnode.errors import Refusal, SeriesError
from dicomnode.records import Header
from dicomnode.store.assemble.assembly import COUNTED, headers_of, instances_of, other_series_of_study
from dicomnode.store.receive.rejected_images import rejected_in
from dicomnode.store.states import InstanceStatus
from dicomnode.store.tables import Instance, Series

Stamp = tuple[str, float, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """The files of a series, each with the status that it gets.

    Attributes
    ----------
    statuses : of files that share their SOP instance with others; None where their pixels were not compared yet.
    rejected : how many are set aside because a note rejects them.
    used : headers of the slices in use.
    conflicts : SOP instances whose files differ.
    reasons : why each file that is not used is not, in the order in which they came.
    any_counts : a file is a slice, or may be one.
    """

    statuses: Mapping[int, InstanceStatus] | None
    rejected: int
    used: Sequence[Header]
    conflicts: Sequence[str]
    reasons: Sequence[str]
    any_counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What a complete series is fit for.

    Attributes
    ----------
    refusal : why it is for nothing; None where it is for ``protocols``.
    acquisition_key : of the acquisition that it is a reconstruction of; its own UID when it is the first.
    candidates : it and the other reconstructions of its acquisition, by series.
    others : the complete series of the study, and their keys, as they were.
    """

    refusal: SeriesError | None = None
    protocols: Sequence[Protocol] = ()
    acquisition_key: str = ""
    candidates: Mapping[int, Candidate] = field(default_factory=dict)
    others: Sequence[tuple[int, str]] = ()


def stamp_of(series: Series) -> Stamp:
    """What changes whenever something of a series does that a decision may hang on: an image, an end, a rejection."""
    return series.status, series.last_instance_at, series.due_at


def slices_of(session: Session, series: Series) -> Slices:
    """Say of several files of one SOP instance which counts: with equal pixels and geometry the newest, else none."""
    rows = instances_of(session, series.id)
    rejected = rejected_in(session, series)
    status = {row.id: InstanceStatus.NOT_USED if row.id in rejected else InstanceStatus(row.status) for row in rows}
    statuses = _resolved([row for row in rows if status[row.id] in COUNTED])
    status |= statuses or {}
    return Slices(
        statuses=statuses,
        rejected=len(rejected),
        used=[row.header for row in rows if status[row.id] == InstanceStatus.USED],
        conflicts=[row.sop_instance_uid for row in rows if status[row.id] == InstanceStatus.CONFLICT],
        reasons=[Refusal.REJECTED.value if row.id in rejected else row.reason for row in rows],
        any_counts=any(one in COUNTED for one in status.values()),
    )


def _resolved(rows: Sequence[Instance]) -> dict[int, InstanceStatus] | None:
    statuses: dict[int, InstanceStatus] = {}
    for group in shared(rows, lambda row: row.sop_instance_uid):
        digests = {row.pixel_digest for row in group}
        if "" in digests:
            return None
        same = is_one_image(digests)
        for row in group:
            statuses[row.id] = InstanceStatus.OLDER if same else InstanceStatus.CONFLICT
        if same:
            statuses[group[-1].id] = InstanceStatus.USED
    return statuses


def extent_seen(slices: Slices) -> tuple[bool, float]:
    """Whether the slices in use are contiguous, and how many mm they cover."""
    return extent_of(slices.used) if slices.used else (False, 0.0)


def weighed(session: Session, series: Series, slices: Slices, protocols: Sequence[Protocol]) -> Weighed:
    """What a complete series is fit for, and which reconstructions it is weighed against."""
    try:
        refuse_conflicts(slices.conflicts)
        fit = protocols_in_turn(slices.used, protocols, series.study_uid)
    except SeriesError as fault:
        return Weighed(refusal=fault)
    rows = other_series_of_study(session, series)
    headers = {row.id: headers_of(session, row) for row in rows}
    same = (row.acquisition_key for row in rows if same_acquisition(slices.used, headers[row.id]))
    key = next(same, series.series_uid)
    rivals = {row.id: candidate_of(headers[row.id]) for row in rows if row.acquisition_key == key and headers[row.id]}
    return Weighed(
        protocols=fit,
        acquisition_key=key,
        candidates={**rivals, series.id: candidate_of(slices.used)},
        others=others_of(rows),
    )


def others_of(rows: Sequence[Series]) -> list[tuple[int, str]]:
    """The complete series of a study, and their keys."""
    return [(row.id, row.acquisition_key) for row in rows]


def reason_of(slices: Slices) -> str:
    """The reason why nothing in a series is used: that of its first file, unless slices were rejected."""
    reasons = slices.reasons or [Refusal.NO_PIXELS.value]
    return Refusal.REJECTED.value if Refusal.REJECTED in reasons else reasons[0]


_SET_ASIDE = {
    Refusal.REJECTED: "were rejected",
    Refusal.UID_MISMATCH: "are others than their sender named",
    Refusal.HEADER_TOO_LARGE: "have too large a header",
    Refusal.UNREADABLE: "cannot be read",
}


def with_set_aside(detail: str, slices: Slices) -> str:
    """A detail with how many images were set aside, where that may be why others are missing."""
    counts = {reason: sum(one == reason for one in slices.reasons) for reason in _SET_ASIDE}
    told = (f"{count} images {_SET_ASIDE[reason]}" for reason, count in counts.items() if count)
    return "; ".join(part for part in (detail, *told) if part)

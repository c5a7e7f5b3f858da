"""Where the brain of each scanner lies in HU, lately and before: it moves with the calibration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicomnode.store.ops.drift import DAY_S, FEWEST, UNLIKELY
from dicomnode.store.tables import Job, Series

SHIFT_HU = 2.0
"""A smaller one is within the day-to-day stability of a scanner (water within 4 HU: IEC 61223-3-5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelLine:
    """The brain of one scanner, now and before.

    Attributes
    ----------
    sender : calling AE title.
    count, count_before : scans that were read in the recent and in the reference window.
    median_hu, median_hu_before : of the commonest attenuation of soft tissue; None where there is no scan.
    p : two-sided, of the rank-sum test (Mann and Whitney, Ann Math Stat 18 (1947) 50); None: a window is empty.
    drifts : enough were seen, they differ by ``SHIFT_HU`` or more, and that is unlikely where nothing has changed.
    """

    sender: str
    count: int
    count_before: int
    median_hu: float | None
    median_hu_before: float | None
    p: float | None
    drifts: bool


def brain_levels(session: Session, *, now: float, days: float, reference_days: float) -> list[LevelLine]:
    """A line for every scanner whose images were read in either window, what drifts first.

    Parameters
    ----------
    days : the recent window, until ``now``.
    reference_days : the window before that.
    """
    begin, middle = now - (days + reference_days) * DAY_S, now - days * DAY_S
    recent, before = _levels(session, middle, now), _levels(session, begin, middle)
    lines = [_line(sender, recent.get(sender, ()), before.get(sender, ())) for sender in {*recent, *before}]
    return sorted(lines, key=lambda one: (not one.drifts, one.sender))


def _levels(session: Session, begin: float, end: float) -> Mapping[str, Sequence[float]]:
    """Sender -> HU of each scan that a job has read."""
    statement = (
        select(Series.sender_ae, Job.brain_hu)
        .join(Series, Series.id == Job.series_id)
        .where(Job.created_at >= begin, Job.created_at < end)
    )
    found: dict[str, list[float]] = defaultdict(list)
    for sender, level in session.execute(statement):
        if level is not None:
            found[sender].append(level)
    return found


def _line(sender: str, recent: Sequence[float], before: Sequence[float]) -> LevelLine:
    p = _unlikelihood(recent, before) if recent and before else None
    seen = min(len(recent), len(before)) >= FEWEST
    return LevelLine(
        sender=sender,
        count=len(recent),
        count_before=len(before),
        median_hu=median(recent) if recent else None,
        median_hu_before=median(before) if before else None,
        p=p,
        drifts=seen and p is not None and p < UNLIKELY and abs(median(recent) - median(before)) >= SHIFT_HU,
    )


def _unlikelihood(recent: Sequence[float], before: Sequence[float]) -> float:
    from scipy.stats import mannwhitneyu  # a second to import, which the start of a node is spared

    return round(float(mannwhitneyu(recent, before).pvalue), 5)

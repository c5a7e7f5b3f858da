"""What came from each scanner lately, against before: shares of positive exams, of high scores, of refused series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import erfc, sqrt

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicomnode.decision import Decision, ScoreOutcome
from dicomnode.store.states import RunStatus, SeriesStatus
from dicomnode.store.tables import Job, Run, Series

DAY_S = 86400.0
REFUSED = "series refused"
FEWEST = 20
"""Exams or series in both windows, below which no difference is called one."""
UNLIKELY = 0.01
"""Probability of such a difference, or a greater one, where nothing has changed."""

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLine:
    """One share of one scanner, now and before.

    Attributes
    ----------
    sender : calling AE title.
    what : ``MODEL, FINDING positive``; ``MODEL, SCORE high`` (at or above its threshold); or ``series refused``.
    count, of : in the recent window; ``count_before``, ``of_before``: in the reference window.
    p : two-sided, of two proportions by the normal approximation; None where either window is empty.
    drifts : enough were seen, and the difference is unlikely where nothing has changed.
    """

    sender: str
    what: str
    count: int
    of: int
    count_before: int
    of_before: int
    p: float | None
    drifts: bool

    @property
    def share(self) -> float | None:
        """In the recent window."""
        return self.count / self.of if self.of else None

    @property
    def share_before(self) -> float | None:
        """In the reference window."""
        return self.count_before / self.of_before if self.of_before else None


def drift(session: Session, *, now: float, days: float, reference_days: float) -> list[DriftLine]:
    """Every share of every scanner that sent anything in either window, what drifts first.

    Parameters
    ----------
    days : the recent window, until ``now``.
    reference_days : the window before that.
    """
    begin, middle = now - (days + reference_days) * DAY_S, now - days * DAY_S
    recent = _shares(session, middle, now)
    before = _shares(session, begin, middle)
    lines = [_line(key, recent.get(key, (0, 0)), before.get(key, (0, 0))) for key in {*recent, *before}]
    return sorted(lines, key=lambda one: (not one.drifts, one.sender, one.what))


def _shares(session: Session, begin: float, end: float) -> dict[_Key, tuple[int, int]]:
    """(sender, what) -> how many, and of how many."""
    of: Counter[_Key] = Counter()
    hit: Counter[_Key] = Counter()
    for key, is_hit in (*_findings(session, begin, end), *_refusals(session, begin, end)):
        of[key] += 1
        hit[key] += is_hit
    return {key: (hit[key], count) for key, count in of.items()}


def _findings(session: Session, begin: float, end: float) -> Iterator[tuple[_Key, bool]]:
    statement = (
        select(Series.sender_ae, Run.model, Run.outcomes, Run.scores)
        .join(Job, Job.id == Run.job_id)
        .join(Series, Series.id == Job.series_id)
        .where(Run.status == RunStatus.SUCCEEDED, Job.created_at >= begin, Job.created_at < end)
    )
    for sender, model, outcomes, scores in session.execute(statement):
        for one in outcomes:
            yield (sender, f"{model}, {one['finding']} positive"), one["decision"] == Decision.POSITIVE
        for score in map(ScoreOutcome.from_dict, scores):
            if score.is_high is not None:
                yield (sender, f"{model}, {score.finding} high"), score.is_high


def _refusals(session: Session, begin: float, end: float) -> Iterable[tuple[_Key, bool]]:
    statement = select(Series.sender_ae, Series.status).where(
        Series.modality == "CT",
        Series.status != SeriesStatus.RECEIVING,
        Series.last_instance_at >= begin,
        Series.last_instance_at < end,
    )
    return [((sender, REFUSED), status == SeriesStatus.REFUSED) for sender, status in session.execute(statement)]


def _line(key: _Key, recent: tuple[int, int], before: tuple[int, int]) -> DriftLine:
    p = unlikelihood(*recent, *before)
    enough = min(recent[1], before[1]) >= FEWEST
    return DriftLine(
        sender=key[0],
        what=key[1],
        count=recent[0],
        of=recent[1],
        count_before=before[0],
        of_before=before[1],
        p=None if p is None else round(p, 5),
        drifts=enough and p is not None and p < UNLIKELY,
    )


def unlikelihood(count: int, of: int, count_before: int, of_before: int) -> float | None:
    """Two-sided p of the difference of two proportions (pooled, normal approximation); None where either is empty.

    >>> round(unlikelihood(30, 100, 10, 100), 5), unlikelihood(5, 10, 5, 10), unlikelihood(0, 9, 0, 9)
    (0.00041, 1.0, 1.0)
    """
    if not of or not of_before:
        return None
    pooled = (count + count_before) / (of + of_before)
    deviation = sqrt(pooled * (1 - pooled) * (1 / of + 1 / of_before))
    return erfc(abs(count / of - count_before / of_before) / deviation / sqrt(2)) if deviation else 1.0

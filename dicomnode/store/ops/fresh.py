"""What happened since the last look: read by row ids, so that a look costs what is new and not what there is.

A look never writes, and never reads more than :data:`PORTION` rows of a table; what is beyond is left to the next.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicomnode.store.ops.times import ENDS, JobTimes, times_of
from dicomnode.store.states import JobEvent, RunEvent, SeriesEvent
from dicomnode.store.tables import Association, Event, Instance, Job, Run, Series

PORTION = 5000
SETTLED_S = 3.0
"""PostgreSQL gives ids before it commits: rows younger than this are left to the next look, so that none is missed."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of each table that a look has seen."""

    event_id: int
    instance_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What one peer sent; ``last_at``: its last image, seconds since the epoch."""

    calling_ae: str
    images: int
    size_bytes: int
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended. ``decision``: of each finding that a run gave."""

    model: str
    device: str
    event: str
    seconds: float | None
    decisions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What is new. ``refused``: (series or job, reason) -> how many. ``sent``: event of a delivery -> how many."""

    upto: Cursor
    received: Sequence[Received]
    refused: Mapping[tuple[str, str], int]
    runs: Sequence[RunEnd]
    jobs: Sequence[JobTimes]
    deliveries: Mapping[str, int]


def newest(session: Session) -> Cursor:
    """Where a look begins that is to see only what comes from now on."""
    return Cursor(session.scalar(select(func.max(Event.id))) or 0, session.scalar(select(func.max(Instance.id))) or 0)


def fresh(session: Session, after: Cursor) -> Fresh:
    """What is new behind ``after``, at most :data:`PORTION` rows of each table."""
    upto = _upto(session, after)
    events = session.execute(
        select(Event.subject, Event.subject_id, Event.name, Event.job_id)
        .where(Event.id > after.event_id, Event.id <= upto.event_id)
        .order_by(Event.id)
    ).all()
    ids: dict[tuple[str, str], list[int]] = defaultdict(list)
    for subject, subject_id, name, _ in events:
        if subject_id is not None:
            ids[subject, name].append(subject_id)
    ended = {row for event in ENDS for row in ids["job", event]}
    return Fresh(
        upto=upto,
        received=list(_received(session, after, upto)),
        refused=_refused(session, ids["series", SeriesEvent.REFUSE], ids["job", JobEvent.REFUSE]),
        runs=[end for event in _RUN_ENDS for end in _runs(session, ids["run", event], event)],
        jobs=list(_times(session, sorted(ended))),
        deliveries=Counter(name for subject, _, name, _ in events if subject == "outbox"),
    )


_RUN_ENDS = (RunEvent.SUCCEED, RunEvent.FAIL, RunEvent.QUARANTINE)


def _upto(session: Session, after: Cursor) -> Cursor:
    settled = time.time() - SETTLED_S
    event = select(Event.id).where(Event.at <= settled).order_by(Event.at.desc(), Event.id.desc()).limit(1)
    image = select(Instance.id).where(Instance.received_at <= settled)
    image = image.order_by(Instance.received_at.desc(), Instance.id.desc()).limit(1)
    return Cursor(
        max(after.event_id, min(session.scalar(event) or 0, after.event_id + PORTION)),
        max(after.instance_id, min(session.scalar(image) or 0, after.instance_id + PORTION)),
    )


def _received(session: Session, after: Cursor, upto: Cursor) -> Iterator[Received]:
    statement = (
        select(Association.calling_ae, func.count(), func.sum(Instance.size_bytes), func.max(Instance.received_at))
        .select_from(Instance)
        .outerjoin(Association, Association.id == Instance.association_id)
        .where(Instance.id > after.instance_id, Instance.id <= upto.instance_id)
        .group_by(Association.calling_ae)
    )
    for calling_ae, images, size_bytes, last_at in session.execute(statement):
        yield Received(calling_ae=calling_ae or "", images=images, size_bytes=int(size_bytes), last_at=last_at)


def _refused(session: Session, series: Sequence[int], jobs: Sequence[int]) -> Mapping[tuple[str, str], int]:
    counts: Counter[tuple[str, str]] = Counter()
    for some in _portions(series):
        counts.update(("series", r) for r in session.scalars(select(Series.refusal).where(Series.id.in_(some))) if r)
    for some in _portions(jobs):
        counts.update(("job", r) for r in session.scalars(select(Job.refusal).where(Job.id.in_(some))) if r)
    return counts


def _runs(session: Session, ids: Sequence[int], event: str) -> Iterator[RunEnd]:
    for some in _portions(ids):
        for run in session.scalars(select(Run).where(Run.id.in_(some))):
            is_timed = run.started_at is not None and run.finished_at is not None
            told = event == RunEvent.SUCCEED
            yield RunEnd(
                model=run.model,
                device=run.device,
                event=event,
                seconds=max(0.0, run.finished_at - run.started_at) if is_timed and told else None,  # type: ignore[operator]
                decisions=tuple((one["finding"], one["decision"]) for one in run.outcomes) if told else (),
            )


def _times(session: Session, ids: Sequence[int]) -> Iterator[JobTimes]:
    for some in _portions(ids):
        yield from times_of(session, Job.id.in_(some))


def _portions(ids: Iterable[int]) -> Iterator[list[int]]:
    """Portions that fit one statement of every database."""
    rest = iter(dict.fromkeys(ids))
    while some := list(islice(rest, 500)):
        yield some

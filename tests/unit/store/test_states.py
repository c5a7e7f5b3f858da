"""Every (state, event) pair of every machine, against the drawing in the docstring of ``states``."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicomnode.errors import IllegalTransition, LeaseLost
from dicomnode.store import states
from dicomnode.store.engine import Store
from dicomnode.store.tables import Event, Job, Outbox, Result, Run, Series
from dicomnode.store.transitions import Stateful, move

MACHINES: dict[str, tuple[type[StrEnum], type[StrEnum]]] = {
    "series": (states.SeriesStatus, states.SeriesEvent),
    "job": (states.JobStatus, states.JobEvent),
    "run": (states.RunStatus, states.RunEvent),
    "outbox": (states.OutboxStatus, states.OutboxEvent),
}
INITIAL = {"series": {"receiving"}, "job": {"waiting"}, "run": {"pending"}, "outbox": {"pending", "withheld"}}
FINAL = {"series": set(), "job": {"superseded"}, "run": set(), "outbox": {"proven"}}


def drawing_of(machine: str) -> list[str]:
    """Lines of one machine's drawing."""
    assert states.__doc__ is not None
    block = re.search(rf"^{machine.capitalize()}::\n\n((?:    .*\n)+)", states.__doc__, re.MULTILINE)
    assert block is not None
    return block.group(1).splitlines()


def arrows_drawn(machine: str) -> dict[tuple[str, str], str]:
    """(state, event) -> state, as drawn: chains, lists of sources, and 'all but' lists."""
    arrows: dict[tuple[str, str], str] = {}
    for line in drawing_of(machine):
        for chain in re.split(r" {3,}", line.strip()):
            head, *steps = re.split(r" --([a-z_]+)--> ", chain)
            assert steps, f"{chain!r} draws no arrow"
            sources = sources_named(machine, head)
            for event, target in zip(steps[::2], steps[1::2], strict=True):
                for source in sources:
                    assert (source, event) not in arrows, f"{source} --{event}--> is drawn twice"
                    arrows[source, event] = target
                sources = [target]
    return arrows


def sources_named(machine: str, text: str) -> list[str]:
    """``a, b`` or ``all but a, b`` or ``any but a``."""
    but = re.fullmatch(r"(?:all|any) but (.*)", text)
    names = (but.group(1) if but else text).split(", ")
    known = [str(status) for status in MACHINES[machine][0]]
    assert set(names) <= set(known), f"unknown state in {text!r}"
    return [name for name in known if name not in names] if but else names


def every_pair() -> list[tuple[str, str, str]]:
    return list(_every_pair())


def _every_pair() -> Iterator[tuple[str, str, str]]:
    for machine, (statuses, events) in MACHINES.items():
        for status in statuses:
            for event in events:
                yield machine, str(status), str(event)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path_factory.mktemp('states') / 'node.db'}")
    opened.migrate()
    yield opened
    opened.close()


def row_in(store: Store, machine: str, status: str) -> Stateful:
    """A row of one table in one state, with the rows it refers to."""
    now = time.time()
    with store.write() as session:
        series = Series(
            study_uid=generate_uid(),
            series_uid=generate_uid(),
            status=status if machine == "series" else "chosen",
            first_instance_at=now,
            last_instance_at=now,
        )
        session.add(series)
        session.flush()
        if machine == "series":
            return series
        job = Job(
            study_uid=series.study_uid,
            acquisition_key="a",
            protocol="p",
            series_id=series.id,
            generation=1,
            status=status if machine == "job" else "running",
            priority="stat",
            created_at=now,
            ready_at=now,
            lease_token=3,
        )
        session.add(job)
        session.flush()
        if machine == "job":
            return job
        row = _run(job, status) if machine == "run" else _outbox(session, job, status, now)
        session.add(row)
        session.flush()
        return row


def _run(job: Job, status: str) -> Run:
    return Run(job_id=job.id, model="m", position=0, status=status)


def _outbox(session, job: Job, status: str, now: float) -> Outbox:  # type: ignore[no-untyped-def]
    result = Result(
        job_id=job.id,
        kind="sr",
        study_uid=job.study_uid,
        series_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        sop_class_uid="1.2",
        path="x",
        digest="d",
        size_bytes=1,
        research=False,
        created_at=now,
    )
    session.add(result)
    session.flush()
    return Outbox(
        result_id=result.id,
        job_id=job.id,
        destination="pacs",
        status=status,
        created_at=now,
        next_attempt_at=now,
        lease_token=3,
    )


def events_about(store: Store, row: Stateful) -> list[tuple[str, str, str]]:
    with store.read() as session:
        wanted = select(Event).where(Event.subject == row.__tablename__, Event.subject_id == row.id)
        return [(event.name, event.before, event.after) for event in session.scalars(wanted.order_by(Event.id))]


def status_of(store: Store, row: Stateful) -> str:
    with store.read() as session:
        return str(session.scalar(select(type(row).status).where(type(row).id == row.id)))


@pytest.mark.parametrize("machine", MACHINES)
def test_the_drawing_and_the_table_say_the_same(machine: str) -> None:
    table = {(str(state), str(event)): str(target) for (state, event), target in states.TRANSITIONS[machine].items()}
    assert arrows_drawn(machine) == table


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_and_event_is_drawn(machine: str) -> None:
    statuses, events = MACHINES[machine]
    arrows = arrows_drawn(machine)
    assert {event for _, event in arrows} == set(map(str, events))
    assert {state for state, _ in arrows} | set(arrows.values()) == set(map(str, statuses))


@pytest.mark.parametrize(("machine", "status", "event"), every_pair())
def test_a_row_moves_along_the_drawn_arrows_and_no_others(store: Store, machine: str, status: str, event: str) -> None:
    target = arrows_drawn(machine).get((status, event))
    row = row_in(store, machine, status)
    if target is None:
        with pytest.raises(IllegalTransition), store.write() as session:
            move(session, session.get_one(type(row), row.id), event)
        assert status_of(store, row) == status
        assert events_about(store, row) == []
    else:
        with store.write() as session:
            move(session, session.get_one(type(row), row.id), event)
        assert status_of(store, row) == target
        assert events_about(store, row) == [(event, status, target)]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_can_be_reached(machine: str) -> None:
    arrows = arrows_drawn(machine)
    reached, ahead = set(INITIAL[machine]), deque(INITIAL[machine])
    while ahead:
        state = ahead.popleft()
        following = {target for (source, _), target in arrows.items() if source == state} - reached
        reached |= following
        ahead.extend(following)
    assert reached == set(map(str, MACHINES[machine][0]))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_but_the_final_ones_has_a_way_out(machine: str) -> None:
    with_way_out = {source for (source, _), target in arrows_drawn(machine).items() if target != source}
    assert set(map(str, MACHINES[machine][0])) - with_way_out == FINAL[machine]


@pytest.mark.parametrize("machine", MACHINES)
def test_no_arrow_leads_from_a_state_to_itself(machine: str) -> None:
    assert [pair for pair, target in arrows_drawn(machine).items() if pair[0] == target] == []


@pytest.mark.parametrize(("machine", "event"), [("job", "encoded"), ("outbox", "sent")])
def test_a_stale_token_changes_nothing(store: Store, machine: str, event: str) -> None:
    leased = str(states.LEASED[machine])
    row = row_in(store, machine, leased)
    with pytest.raises(LeaseLost), store.write() as session:
        move(session, session.get_one(type(row), row.id), event, token=2)
    assert status_of(store, row) == leased
    assert events_about(store, row) == []
    with store.write() as session:
        move(session, session.get_one(type(row), row.id), event, token=3)
    assert status_of(store, row) != leased


@pytest.mark.parametrize(
    ("machine", "status", "event"),
    [
        (machine, status, event)
        for machine, status, event in every_pair()
        if machine in states.LEASED and status != states.LEASED[machine]
    ],
)
def test_whoever_comes_with_a_token_after_the_lease_ended_is_told_so(
    store: Store, machine: str, status: str, event: str
) -> None:
    row = row_in(store, machine, status)
    with pytest.raises(LeaseLost), store.write() as session:
        move(session, session.get_one(type(row), row.id), event, token=3)
    assert status_of(store, row) == status
    assert events_about(store, row) == []


def test_a_row_that_changed_since_it_was_read_is_not_moved(store: Store) -> None:
    stale = row_in(store, "series", "receiving")  # as read before someone else moved it
    with store.write() as session:
        move(session, session.get_one(Series, stale.id), "choose")
    with pytest.raises(LeaseLost), store.write() as session:
        move(session, stale, "refuse")
    assert status_of(store, stale) == "chosen"
    assert events_about(store, stale) == [("choose", "receiving", "chosen")]


def test_further_columns_change_in_the_same_statement(store: Store) -> None:
    row = row_in(store, "series", "receiving")
    with store.write() as session:
        series = session.get_one(Series, row.id)
        move(session, series, "refuse", refusal="not_ct", detail={"modality": "MR"})
        assert (series.status, series.refusal) == ("refused", "not_ct")
    with store.read() as session:
        event = session.scalars(select(Event).where(Event.subject == "series", Event.subject_id == row.id)).one()
        assert (event.detail, event.series_uid) == ({"modality": "MR"}, row.series_uid)


def test_status_is_set_nowhere_but_in_transitions() -> None:
    package = Path(states.__file__).parents[1]
    # Instances have a status too, without a machine of their own: their rows are not meant.
    assignment = re.compile(
        r"\b(?:job|run|series|outbox)\.status\s*=[^=]" r"|update\((?:Series|Job|Run|Outbox)\).*\bstatus="
    )
    offenders = [
        f"{path.relative_to(package)}:{number}"
        for path in sorted(package.rglob("*.py"))
        if path.name != "transitions.py" and "migrations" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if assignment.search(line)
    ]
    assert offenders == []

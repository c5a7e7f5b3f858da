"""What a job knows of its patient: gathered when its images are read, and kept once it has results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicomnode.clinical.variables import VARIABLES
from dicomnode.execute.context import CONTEXT
from dicomnode.execute.late_context import LateContext
from dicomnode.ops.retention import DAY_S, purge
from dicomnode.records import ContextSource, Observation, Patient
from dicomnode.store.clinical.observations import known_of, store_context
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.queue.jobs import cancel_job, requeue_job
from dicomnode.store.states import JobEvent
from dicomnode.store.tables import Job
from dicomnode.store.transitions import move
from tests.acceptance.reading import contents
from tests.integration.execute.world import Bundles, ExecutionWorld, Workers
from tests.integration.store.fixture import sqlite_only

pytestmark = sqlite_only

SCANNED_AT = datetime(2026, 1, 1, 10, tzinfo=UTC).timestamp()
"""By the StudyTime of the test's heads."""


class ContextWorld(ExecutionWorld):
    """A world in which something is told of the patient of its heads."""

    def tell(self, name: str, value: Any, hours: float = -1.0, patient_id: str = "T1") -> None:
        observed_at = SCANNED_AT + hours * 3600
        known = Observation(
            patient=Patient(patient_id=patient_id),
            name=name,
            value=value,
            unit=VARIABLES[name].unit,
            source=ContextSource.FILE,
            observed_at=observed_at,
        )
        with self.store.write() as session:
            store_context(session, [known], ())

    def report(self) -> str:
        """All texts of the newest report of scores; empty where there is none."""
        paths = [result.path for result in self.results() if result.kind == "scores"]
        if not paths:
            return ""
        ds = pydicom.dcmread(self.config.node.data_dir / paths[-1])
        return "\n".join(str(item.TextValue) for item in contents(ds) if "TextValue" in item)

    def context_events(self, job_id: int) -> list[dict[str, Any]]:
        with self.store.read() as session:
            return [event.detail for event in events_of(session, str(job_id)) if event.name == "context"]

    @property
    def late(self) -> LateContext:
        """The look for what came late, without a pause."""
        clinical = self.config.clinical.model_copy(update={"amend_settle_s": 0.0})
        return LateContext(self.config.model_copy(update={"clinical": clinical}), self.store)


@pytest.fixture
def world(
    new_database: Callable[..., str], tmp_path: Path, bundles: Bundles, workers: Workers
) -> Iterator[ContextWorld]:
    opened = Store(new_database())
    made = ContextWorld(opened, tmp_path / "data", bundles, ("threshold",))
    made.use(workers)
    workers.start()
    yield made
    opened.close()


def test_what_is_known_of_the_patient_enters_the_results_and_stays_what_they_were_made_with(
    world: ContextWorld,
) -> None:
    world.tell("gcs", 10.0)
    world.tell("gcs", 3.0, patient_id="T2")
    job_id = world.queue_head()
    assert world.step()
    assert "Glasgow Coma Scale 10 (file, 2026-01-01T09:00+00:00, 1.0 h before the scan)" in world.report()
    assert world.context_events(job_id) == [{"known": ["gcs (file)"], "contradict": {}}]
    first = {result.sop_instance_uid for result in world.results()}
    world.tell("gcs", 4.0, hours=0.0)
    with world.store.write() as session:  # as a destination's refusal of a class does
        move(session, session.get_one(Job, job_id), JobEvent.FALL_BACK, ready_at=0.0)
    assert world.step()
    assert {result.sop_instance_uid for result in world.results()} == first
    assert "Glasgow Coma Scale 10" in world.report()


def test_a_job_without_results_takes_what_came_in_meanwhile_and_rows_go_by_their_own_retention(
    world: ContextWorld,
) -> None:
    world.tell("gcs", 10.0)
    job_id = world.queue_head()
    with world.store.write() as session:
        cancel_job(session, job_id)
    world.tell("gcs", 4.0, hours=0.0)
    with world.store.write() as session:
        requeue_job(session, job_id)
    assert world.step()
    assert "Glasgow Coma Scale 4" in world.report()
    clinical = world.config.clinical.model_copy(update={"retention_days": 1.0})
    config = world.config.model_copy(update={"clinical": clinical})
    purge(config, world.store, now=datetime.now(UTC).timestamp() + 2 * DAY_S)
    with world.store.read() as session:
        assert known_of(session, Patient(patient_id="T1")).observations == ()
    assert (world.config.work_dir / f"job-{job_id}" / CONTEXT).exists()


def test_a_value_that_comes_after_the_results_amends_them_where_it_changes_what_they_say(world: ContextWorld) -> None:
    world.tell("gcs", 10.0)
    job_id = world.queue_head()
    assert world.step()
    old = {result.sop_instance_uid for result in world.results()}
    late = world.late
    world.tell("glucose", 7.0)  # nothing asks for it
    world.tell("gcs", 3.0, hours=-2.0)  # farther from the scan
    world.tell("gcs", 3.0, hours=0.0, patient_id="T2")
    assert late.look() == 0
    world.tell("gcs", 4.0, hours=0.0)
    assert world.config.clinical.amend_settle_s > 0
    assert LateContext(world.config, world.store).look() == 0  # more may follow
    assert late.look() == 1
    assert late.look() == 0  # the new job has no results yet
    assert world.job(job_id).status == "superseded"
    assert world.step()
    (amended,) = world.active_jobs()
    assert (amended.generation, amended.status) == (2, "delivering")
    assert "Glasgow Coma Scale 4" in world.report()
    new = {result.sop_instance_uid: result.superseded for result in world.results()}
    assert {uid for uid, is_superseded in new.items() if is_superseded} == old
    with world.store.read() as session:
        (told,) = [e.detail for e in events_of(session, str(job_id)) if e.name == "supersede"]
    assert told == {"reason": "context came later: gcs, glucose"}
    assert world.late.look() == 0

"""When the real follow-up has come, its voxels are held against the predicted scan, and no job is touched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicomnode.app.outcomes_shown import what_came
from dicomnode.execute.comparing import ForecastComparisons
from dicomnode.execute.findings_file import save_findings
from dicomnode.execute.plan import registry_of
from dicomnode.images.volume import read_volume
from dicomnode.records import Finding, ImageFinding, ModelRef, Patient
from dicomnode.store.clinical.patients import record_study
from dicomnode.store.engine import Store
from dicomnode.store.forgetting import forget_study
from dicomnode.store.queue.runs import source_paths
from dicomnode.store.states import InstanceStatus, JobStatus, RunStatus
from dicomnode.store.tables import Comparison, Instance, Job, Run, Series
from tests.acceptance.scanner import OFFSETS_MM
from tests.integration.assemble.world import World
from tests.integration.ops.test_drift import NEGATIVE
from tests.integration.store.fixture import both_databases
from tests.tools.series import ct_series, head_hu

BEGIN, DAY_S = 1_800_000_000.0, 86_400.0
INFARCT_MM = np.array((-30.0, 10.0, 75.0))
MODEL = ModelRef(name="followup", version="1", digest="sha256:0", title="t", trained_on="t", research=True)
SOMEBODY = Patient(patient_id="A", birth_date="19440502", sex="F")
AFTER = {"name": "after", "match": {"Modality": "^CT$"}, "models": ("hemorrhage", "followup")}


def with_infarct(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A plain head with a darker ball in it."""
    hu = head_hu(points)
    hu[np.linalg.norm(points - INFARCT_MM, axis=1) < 20.0] -= 14.0
    return hu


def scan(name: str, hu: Any) -> list[Dataset]:
    return ct_series(
        OFFSETS_MM, name=name, matrix=96, pixel_spacing_mm=(2.2, 2.2), hu=hu, StudyInstanceUID=generate_uid()
    )


class Course(World):
    """A patient who is scanned twice; of the first scan a forecast is known, of the second what is marked."""

    def come(self, images: Sequence[Dataset], at: float, model: str, **said: Any) -> int:
        """A scan comes, one model says something of it, and its job is over; returns the job's id."""
        self.assemble(images)
        job = self.active_jobs()[-1]
        with self.store.write() as session:
            row = session.get_one(Job, job.id)
            row.status, row.finished_at = JobStatus.DONE, at
            record_study(session, job.study_uid, SOMEBODY, at)
            run = session.scalars(select(Run).where(Run.job_id == job.id, Run.model == model)).one()
            run.status = RunStatus.SUCCEEDED
            for name, value in said.items():
                setattr(run, name, value)
        return job.id

    def foretold(self, job_id: int, by_hu: float) -> None:
        """The forecast of a job: so much darker where the infarct will be."""
        with self.store.read() as session:
            paths = source_paths(session, session.get_one(Job, job_id).series_id)
        volume = read_volume([self.config.spool_dir / path for path in paths])
        points = _points_of(volume)
        hu = volume.hu + np.float32(by_hu) * (np.linalg.norm(points - INFARCT_MM, axis=-1) < 20.0)
        named = {"name": "followup", "label": "Predicted", "horizon": "24 h after this scan", "model": MODEL}
        self.keep(job_id, "followup", ImageFinding(hu=np.asarray(hu, np.float32), **named))

    def keep(self, job_id: int, model: str, *findings: Finding) -> None:
        """The file of what a run found."""
        path = Path(f"job-{job_id}/{model}.npz")
        save_findings(self.config.work_dir / path, findings)
        with self.store.write() as session:
            mine = (Run.job_id == job_id, Run.model == model)
            session.scalars(select(Run).where(*mine)).one().findings_path = str(path)

    @property
    def rows(self) -> list[Comparison]:
        return self._all(Comparison)


def _points_of(volume: Any) -> NDArray[np.float64]:
    stack = volume.stack
    rows, columns = np.indices(volume.hu.shape[1:])
    plane = rows[..., None] * stack.column_cosines * stack.row_spacing_mm
    plane = plane + columns[..., None] * stack.row_cosines * stack.column_spacing_mm
    return np.asarray(stack.positions_mm[:, None, None] + plane)


BLOOD_TO_COME = {"finding": "followup_blood", "value": 0.2, "unit": "1", "threshold": 0.38}


@pytest.fixture
def course(store: Store, tmp_path: Path) -> Course:
    reception = {"selection_wait_s": 0.0, "quiet_period_s": 0.1}
    return Course(store, tmp_path, protocols=(AFTER,), reception=reception)


def both_scans(course: Course) -> tuple[int, int]:
    first = course.come(scan("first", head_hu), BEGIN, model="followup", scores=[BLOOD_TO_COME])
    course.foretold(first, -14.0)
    later = course.come(scan("later", with_infarct), BEGIN + DAY_S, model="hemorrhage", outcomes=[NEGATIVE])
    course.keep(later, "hemorrhage")
    return first, later


@both_databases
def test_a_forecast_is_held_against_the_scan_that_came_and_shown_in_the_outcomes(course: Course) -> None:
    first, later = both_scans(course)
    looks = ForecastComparisons(course.config, course.store, lambda: False)
    assert (looks.look(), looks.look()) == (1, 0)
    (row,) = course.rows
    assert (row.job_id, row.later_job_id, row.model, row.reason) == (first, later, "followup", "")
    assert row.figures["changed_ml"] == pytest.approx(33.5, rel=0.4)  # a ball of 2 cm
    assert row.figures["error_hu"] < 0.4 * row.figures["unchanged_hu"]
    assert row.figures["shift_mm"] < 2.0
    with course.store.read() as session:
        (line,) = what_came(session, registry_of(course.config)).scans
    assert (line.hours, line.figures["error_hu"]) == (24.0, row.figures["error_hu"])
    assert [job.status for job in course.jobs()] == [JobStatus.DONE, JobStatus.DONE]
    study_uid = course.jobs()[0].study_uid
    with course.store.write() as session:
        for table in (Instance, Series):
            for one in session.scalars(select(table)):
                if isinstance(one, Instance):
                    one.status, one.received_at = InstanceStatus.PURGED, BEGIN
                else:
                    one.last_instance_at = BEGIN
        assert forget_study(session, study_uid, BEGIN + 10 * DAY_S)
    assert course.rows == []


def test_what_is_gone_or_damaged_is_a_reason_and_no_job_knows_of_it(course: Course) -> None:
    first, _ = both_scans(course)
    (course.config.work_dir / f"job-{first}" / "followup.npz").write_bytes(b"no findings")
    before = [(job.status, job.error) for job in course.jobs()]
    assert ForecastComparisons(course.config, course.store, lambda: False).look() == 1
    assert [row.reason for row in course.rows] == ["failed"]
    assert [(job.status, job.error) for job in course.jobs()] == before
    with course.store.read() as session:
        (line,) = what_came(session, registry_of(course.config)).scans
    assert (line.reason, dict(line.figures)) == ("failed", {})


def test_images_that_retention_took_and_findings_that_it_took_are_told_apart(course: Course) -> None:
    first, _ = both_scans(course)
    looks = ForecastComparisons(course.config, course.store, lambda: False)
    (course.config.work_dir / f"job-{first}" / "followup.npz").unlink()
    assert looks.look() == 1
    assert course.rows[0].reason == "findings_gone"
    with course.store.write() as session:
        session.delete(session.scalars(select(Comparison)).one())
        for instance in session.scalars(select(Instance)):
            instance.status = InstanceStatus.PURGED
    assert looks.look() == 1
    assert course.rows[0].reason == "images_gone"


def test_a_pair_whose_job_is_still_open_waits(course: Course) -> None:
    _, later = both_scans(course)
    with course.store.write() as session:
        session.get_one(Job, later).status = JobStatus.DELIVERING
    assert ForecastComparisons(course.config, course.store, lambda: False).look() == 0
    assert course.rows == []


def test_where_nothing_can_register_the_pair_is_tried_again_once_it_can(course: Course) -> None:
    first, later = both_scans(course)
    with course.store.write() as session:
        told = {"job_id": first, "later_job_id": later, "model": "followup", "made_at": BEGIN, "figures": {}}
        session.add(Comparison(reason="no_registration", **told))
    assert ForecastComparisons(course.config, course.store, lambda: False).look() == 1
    assert [row.reason for row in course.rows] == [""]


def test_a_node_without_a_model_that_predicts_scans_looks_for_nothing(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path)
    assert ForecastComparisons(world.config, store, lambda: False).forecasts == []

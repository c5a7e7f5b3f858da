"""Each class of data goes at its own age: images, results, pictures, context, rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import func, select

from dicomnode.config.operations import Operations
from dicomnode.ops.retention import DAY_S, purge
from dicomnode.store.engine import Store
from dicomnode.store.states import JobStatus
from dicomnode.store.tables import Base, Event, Instance, Job, Result, Series
from tests.integration.assemble.test_assembly import head
from tests.integration.assemble.world import World
from tests.integration.ops.test_retention import end_job
from tests.integration.store.fixture import both_databases

FOLDER = "work/job-1/claim-1"


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    """A finished job with a segmentation, a picture, findings and a context."""
    made = World(store, tmp_path / "data")
    made.assemble(head())
    end_job(made, JobStatus.DONE)
    folder = made.config.node.data_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "threshold.npz").touch()
    (folder.parent / "context.json").touch()
    with store.write() as session:
        job = session.scalars(select(Job)).one()
        job.finished_at = made.instances()[0].received_at
        for kind in ("seg", "sc"):
            (folder / f"{kind}.dcm").touch()
            session.add(result_row(job, kind))
    return made


def result_row(job: Job, kind: str) -> Result:
    """A result of a job, whose file is named after its kind."""
    return Result(
        job_id=job.id,
        kind=kind,
        study_uid=job.study_uid,
        series_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        sop_class_uid="1.2.3",
        path=f"{FOLDER}/{kind}.dcm",
        digest="",
        size_bytes=0,
        research=True,
        created_at=0.0,
    )


def after(world: World, days: float, **ages: Any) -> set[str]:
    """Names of the files that are left some days later, by some retention."""
    operations = world.config.operations.model_copy(update=ages)
    config = world.config.model_copy(update={"operations": operations})
    with world.store.read() as session:
        came_at = session.scalar(select(func.max(Instance.received_at)))
    assert came_at is not None
    purge(config, world.store, now=came_at + days * DAY_S)
    data = world.config.node.data_dir
    work = {path.name for path in (data / "work").rglob("*") if path.is_file()}
    return work | ({"images"} if any(data.joinpath("spool").rglob("*.dcm")) else set())


def test_pictures_outlast_results_and_images_where_they_shall(world: World) -> None:
    ages = {"retention_days": 2.0, "results_retention_days": 5.0, "pictures_retention_days": 20.0}
    assert after(world, 1, **ages) == {"images", "seg.dcm", "sc.dcm", "threshold.npz", "context.json"}
    assert after(world, 3, **ages) == {"seg.dcm", "sc.dcm", "threshold.npz", "context.json"}
    assert after(world, 6, **ages) == {"sc.dcm"}
    assert after(world, 21, **ages) == set()


def test_images_outlast_pictures_where_they_shall_and_the_context_goes_by_its_own_age(world: World) -> None:
    ages = {"retention_days": 90.0, "results_retention_days": 60.0, "pictures_retention_days": 1.0}
    assert after(world, 2, **ages) == {"images", "seg.dcm", "threshold.npz", "context.json"}
    assert after(world, 15, **ages) == {"images", "seg.dcm", "threshold.npz"}


@both_databases
def test_rows_stay_for_ever_or_go_when_their_files_are_gone_and_their_age_is_over(world: World) -> None:
    def rows() -> list[int]:
        with world.store.read() as session:
            tables: list[type[Base]] = [Series, Instance, Job, Result]
            return [session.query(table).count() for table in tables]

    after(world, 1000)
    assert rows() == [1, 12, 1, 2]
    after(world, 29, history_retention_days=30.0)
    assert rows() == [1, 12, 1, 2]
    after(world, 31, history_retention_days=30.0)
    assert rows() == [0, 0, 0, 0]
    with world.store.read() as session:
        assert session.query(Event).filter(Event.study_uid != "").count() == 0


def test_rows_of_a_study_whose_images_are_kept_stay(world: World) -> None:
    after(world, 1000, retention_days=5000.0, history_retention_days=30.0)
    with world.store.read() as session:
        assert session.query(Series).count() == 1


def test_history_may_not_go_before_the_files_that_it_is_about() -> None:
    with pytest.raises(ValueError, match="rows must outlast the files"):
        Operations(history_retention_days=10.0)

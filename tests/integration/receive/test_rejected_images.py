"""A rejection note for source images arrives: they are not used, and what was made of them is withdrawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicomnode.ops.retention import DAY_S, purge
from dicomnode.receive.sweep import sweep
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.states import JobStatus
from dicomnode.store.tables import RejectedInstance
from tests.integration.assemble.test_assembly import EVEN, deliver_results, head
from tests.integration.assemble.world import World
from tests.integration.ops.test_retention import end_job
from tests.integration.store.fixture import both_databases
from tests.tools.key_objects import key_object


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(store, tmp_path / "data", reception={"selection_wait_s": 0.0})


def whole_head(name: str = "head") -> list[Dataset]:
    """Enough slices that an end slice may be missing."""
    return head(name, offsets=(*EVEN, 144.0, 156.0))


def reject(world: World, images: list[Dataset], code: str = "113001") -> None:
    """The archive sends a rejection note."""
    world.assemble([key_object(images, code)], calling_ae="PACS")


@pytest.mark.parametrize("code", ["113001", "113037", "113038", "113039"])
def test_results_in_the_outbox_are_withdrawn_and_the_images_are_not_used_again(world: World, code: str) -> None:
    series = whole_head()
    world.assemble(series)
    claim = deliver_results(world)
    reject(world, series, code)
    assert [(job.id, job.status) for job in world.jobs()] == [(claim.job_id, "superseded")]
    assert {row.status for row in world.outbox()} == {"withdrawn"}
    row = world.series(series)
    assert (row.status, row.refusal) == ("refused", "rejected")
    assert {item.reason for item in world.instances()[:-1]} == {"rejected"}
    world.assemble(series)
    world.age(61)
    world.assembler.tick()
    assert world.active_jobs() == []
    with world.store.read() as session:
        events = events_of(session, str(series[0].StudyInstanceUID))
    (event,) = [event for event in events if event.name == "rejected"]
    assert (event.detail["code"], event.detail["instances"]) == (code, len(series))


@both_databases
def test_a_job_that_has_not_run_yet_is_not_run(world: World) -> None:
    series = whole_head()
    world.assemble(series)
    assert [job.status for job in world.jobs()] == ["queued"]
    reject(world, series)
    assert [job.status for job in world.jobs()] == ["superseded"]


def test_a_note_that_comes_before_the_images_holds_for_them(world: World) -> None:
    series = whole_head()
    reject(world, series)
    world.assemble(series)
    world.age(61)
    world.assembler.tick()
    assert world.jobs() == []
    row = world.series(series)
    assert (row.status, row.refusal) == ("not_used", "rejected")


@both_databases
def test_a_note_that_comes_at_the_same_moment_as_an_image_holds_for_it(world: World) -> None:
    series = whole_head()
    world.send(series)
    # What the two transactions leave behind where neither sees the other's rows.
    for ds in series:
        row = RejectedInstance(sop_instance_uid=ds.SOPInstanceUID, code="113001", note_uid="1.2", received_at=0.0)
        world.change(lambda session, row=row: session.add(row))
    world.settle()
    row = world.series(series)
    assert (row.status, row.refusal) == ("not_used", "rejected")


def test_a_series_without_its_rejected_end_slice_is_run_anew(world: World) -> None:
    series = whole_head()
    world.assemble(series)
    reject(world, series[-1:])
    world.age(61)
    world.assembler.tick()
    old, new = world.jobs()
    assert (old.status, new.status, new.generation) == ("superseded", "queued", 2)
    assert [item.status for item in world.instances()].count("used") == len(series) - 1


def test_a_series_without_a_rejected_middle_slice_is_refused_with_both_reasons(world: World) -> None:
    series = whole_head()
    world.assemble(series)
    reject(world, series[5:6])
    world.age(61)
    world.assembler.tick()
    row = world.series(series)
    assert (row.status, row.refusal) == ("refused", "missing_slices")
    assert row.refusal_detail.endswith("; 1 images were rejected")


def test_the_reconstruction_that_was_passed_over_takes_the_place_of_the_rejected_one(world: World) -> None:
    soft = head("soft", ConvolutionKernel="BRAIN")
    bone = head("bone", ConvolutionKernel="BONE")
    for one in (*soft, *bone):
        one.StudyInstanceUID = soft[0].StudyInstanceUID
        one.FrameOfReferenceUID = soft[0].FrameOfReferenceUID
    world.assemble(soft, bone)
    assert world.series(bone).status == "not_chosen"
    reject(world, soft)
    world.settle()
    world.age(61)
    world.assembler.tick()
    (job,) = world.active_jobs()
    assert world.series_of(job) == bone[0].SeriesInstanceUID


def test_a_corrected_header_of_a_rejected_image_is_not_used_either(world: World) -> None:
    series = whole_head()
    world.assemble(series)
    reject(world, series)
    for ds in series:
        ds.PatientName = "Correct^Name"
    world.assemble(series)
    world.age(61)
    world.assembler.tick()
    assert world.active_jobs() == []


def test_images_that_retention_has_taken_are_rejected_all_the_same(world: World) -> None:
    series = whole_head()
    world.assemble(series)
    end_job(world, JobStatus.DONE)
    world.age(30 * DAY_S)
    assert purge(world.config, world.store) == len(series)
    reject(world, series)
    assert [job.status for job in world.jobs()] == ["superseded"]
    world.assemble(series)
    world.age(61)
    world.assembler.tick()
    assert world.active_jobs() == []


def test_the_same_note_again_changes_nothing(world: World) -> None:
    series = whole_head()
    world.assemble(series)
    note = key_object(series[-1:], "113001")
    world.assemble([note])
    world.age(61)
    world.assembler.tick()
    before = [(job.id, job.status) for job in world.jobs()]
    world.assemble([note])
    world.age(61)
    world.assembler.tick()
    assert [(job.id, job.status) for job in world.jobs()] == before


def test_a_note_that_a_crash_left_without_a_row_is_obeyed_after_the_start(world: World, tmp_path: Path) -> None:
    series = whole_head()
    world.assemble(series)
    elsewhere = Store(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    elsewhere.migrate()
    # The file lies in the spool; its row is in a database that this node does not have.
    other = World(elsewhere, tmp_path / "data")
    other.receive([key_object(series, "113037")], other.associate("PACS"))
    elsewhere.close()
    assert [job.status for job in world.jobs()] == ["queued"]
    assert sweep(world.store, world.spool, settle_s=0.0, max_instances=10_000).indexed == 1
    assert [job.status for job in world.jobs()] == ["superseded"]


def test_a_note_made_here_that_comes_back_rejects_nothing(world: World) -> None:
    series = whole_head()
    world.assemble(series)
    world.assemble([key_object(series, "113001", manufacturer="dicomnode")])
    assert [job.status for job in world.jobs()] == ["queued"]
    assert world.instances()[-1].reason == "own_result"


def test_a_note_about_results_of_this_node_is_shown_by_why(world: World) -> None:
    world.assemble(whole_head())
    deliver_results(world)
    result = world.results()[0]
    named = Dataset()
    named.SOPClassUID, named.SOPInstanceUID = result.sop_class_uid, result.sop_instance_uid
    named.StudyInstanceUID, named.SeriesInstanceUID = result.study_uid, result.series_uid
    reject(world, [named])
    (event,) = world.events("results_rejected", "job")
    assert (event.detail["code"], event.detail["results"]) == ("113001", 1)
    assert [job.status for job in world.jobs()] == ["delivering"]


def test_a_note_about_another_study_touches_nothing_here(world: World) -> None:
    world.assemble(whole_head())
    reject(world, head("other", StudyInstanceUID=generate_uid()))
    assert [job.status for job in world.jobs()] == ["queued"]

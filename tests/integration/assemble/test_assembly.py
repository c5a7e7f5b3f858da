"""From received files to jobs, through the database: completeness, late images, header updates, conflicts, refusals."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import text

from dicomnode.store.deliver.results import Delivery, store_results
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.history.jobs import list_jobs
from dicomnode.store.history.series import list_series_without_job
from dicomnode.store.queue.jobs import Claim, cancel_job, claim_job, requeue_job
from dicomnode.store.queue.runs import source_paths
from dicomnode.store.receive.receptions import ABORTED, Indexed
from tests.integration.assemble.world import ANY_CT, World
from tests.integration.deliver.world import encoded_result
from tests.integration.store.fixture import both_databases
from tests.tools.series import ct_series

PACS = Delivery("pacs", ("seg", "sr", "sc"), accept_research=True)
EVEN = tuple(range(0, 144, 12))
"""12 slices, 12 mm apart: few files, and yet a whole head."""
STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"  # X-Ray Radiation Dose SR


@pytest.fixture
def new_world(store: Store, tmp_path: Path) -> Callable[..., World]:
    """Makes a world on the database of this test."""
    return lambda **sections: World(store, tmp_path / "data", **sections)


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """A node with one protocol that takes any CT; quiet period 60 s."""
    return new_world()


def head(name: str = "head", offsets: Any = EVEN, **attributes: Any) -> list[Dataset]:
    """A small series with no kernel to know it by."""
    return ct_series(offsets, name=name, matrix=8, pixel_spacing_mm=(28.0, 28.0), **attributes)


def renamed(datasets: list[Dataset], name: str) -> list[Dataset]:
    """The same images with another PatientName."""
    copies = [copy.deepcopy(ds) for ds in datasets]
    for ds in copies:
        ds.PatientName = name
    return copies


def dose_report(series: list[Dataset]) -> Dataset:
    """What a scanner may put into the series that it belongs to."""
    ds = copy.deepcopy(series[0])
    for keyword in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient"):
        del ds[keyword]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = STRUCTURED_REPORT
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Modality = "SR"
    return ds


def deliver_results(world: World) -> Claim:
    """Claim the only job and let it have results that wait to be sent."""
    with world.store.write() as session:
        claim = claim_job(session, owner="worker", lease_s=60.0)
        assert claim is not None
        results = [encoded_result(world.config.node.data_dir, kind) for kind in ("seg", "sr")]
        store_results(session, claim, results, [PACS])
    return claim


def sources(world: World, datasets: list[Dataset]) -> list[Path]:
    """The files that a run would read."""
    with world.store.read() as session:
        paths = source_paths(session, world.series(datasets).id)
    return [world.config.spool_dir / path for path in paths]


@both_databases
def test_a_whole_head_becomes_a_job_once_the_settle_time_is_over(world: World) -> None:
    series = head(offsets=range(0, 120, 6), ConvolutionKernel="BRAIN")
    world.send(series)
    world.assembler.tick()
    assert world.jobs() == []
    world.settle()
    (job,) = world.jobs()
    assert (job.status, job.protocol, job.generation) == ("queued", "head-ct", 1)
    assert world.series_of(job) == series[0].SeriesInstanceUID
    assert world.series(series).status == "chosen"
    assert len(sources(world, series)) == len(series)


def test_a_series_whose_association_is_open_waits(world: World) -> None:
    peer = world.associate()
    world.receive(head(), peer)
    world.settle()
    assert world.jobs() == []
    world.end(peer)
    world.settle()
    assert len(world.jobs()) == 1


def test_an_aborted_association_waits_for_the_quiet_period_and_then_runs_on_what_came(world: World) -> None:
    world.send(head(), outcome=ABORTED)
    world.settle()
    assert world.jobs() == []
    world.age(61)
    world.assembler.tick()
    assert len(world.jobs()) == 1


def test_a_series_cut_off_after_a_few_slices_is_refused_for_that_after_the_quiet_period_failure_mode_10(
    world: World,
) -> None:
    series = head()
    world.assemble(series[:6], outcome=ABORTED)
    assert world.series(series).status == "receiving"
    world.age(61)
    world.assembler.tick()
    row = world.series(series)
    assert (row.status, row.refusal) == ("refused", "too_few_slices")


def test_a_series_that_was_cut_off_and_comes_again_whole_is_one_job_at_once(world: World) -> None:
    series = head()
    world.send(series[:5], outcome=ABORTED)
    world.assemble(series)
    (job,) = world.jobs()
    assert job.generation == 1
    assert world.series(series).reopened == 0
    assert len(world.instances()) == len(series)


def test_images_that_come_one_association_each_wait_for_the_quiet_period_failure_mode_01(world: World) -> None:
    for ds in head():
        world.send([ds])
    world.settle()
    assert world.jobs() == []
    world.age(61)
    world.assembler.tick()
    assert len(world.jobs()) == 1


@both_databases
def test_a_late_slice_reopens_its_series_and_withdraws_the_results_failure_mode_01(world: World) -> None:
    series = head(offsets=(*EVEN, 144.0))
    world.assemble(series[:-1])
    world.age(20)
    world.change(lambda session: session.execute(text("UPDATE job SET status = 'queued'")))
    claim = deliver_results(world)
    world.send(series[-1:])
    old = world.jobs()[0]
    assert (old.id, old.status) == (claim.job_id, "superseded")
    assert {row.status for row in world.outbox()} == {"withdrawn"}
    assert all(result.superseded for result in world.results())
    assert world.series(series).status == "receiving"
    world.age(61)
    world.assembler.tick()
    (new,) = world.active_jobs()
    assert (new.generation, new.acquisition_key) == (2, old.acquisition_key)
    assert len(sources(world, series)) == len(series)


def test_a_sender_that_added_an_image_late_is_waited_for_for_a_week(world: World) -> None:
    first, second, other = head("first"), head("second"), head("other")
    world.assemble(first[:-1], first[-1:])
    world.assemble(second, calling_ae="CT1")
    assert world.series(second).status == "receiving"
    world.assemble(other, calling_ae="CT2")
    assert world.series(other).status != "receiving"
    world.age(61)
    world.assembler.tick()
    assert world.series(second).status != "receiving"
    world.age(8 * 86_400)
    third = head("third", StudyInstanceUID=generate_uid())
    world.assemble(third, calling_ae="CT1")
    assert world.series(third).status != "receiving"


def test_a_late_dose_report_in_the_series_reopens_nothing_failure_mode_12(world: World) -> None:
    series = head()
    world.assemble(series)
    world.assemble([dose_report(series)])
    assert world.series(series).status == "chosen"
    assert [job.status for job in world.jobs()] == ["waiting"]
    assert world.instances()[-1].status == "not_used"


def test_a_localizer_among_the_slices_does_not_spoil_the_series(world: World) -> None:
    series = head()
    image_type = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    localizer = head("localizer", [0.0], ImageType=image_type, orientation=(0, 1, 0, 0, 0, -1))
    localizer[0].SeriesInstanceUID = series[0].SeriesInstanceUID
    world.assemble([*localizer, *series])
    assert len(world.jobs()) == 1
    assert world.instances()[0].status == "not_used"
    assert len(sources(world, series)) == len(series)


def test_a_series_without_any_slice_is_set_aside_with_its_reason(world: World) -> None:
    report = dose_report(head())
    world.assemble([report])
    world.age(61)
    world.assembler.tick()
    row = world.series([report])
    assert (row.status, row.refusal) == ("not_used", "not_ct")


def test_a_header_update_supersedes_and_the_newest_identity_counts(world: World) -> None:
    series = head()
    world.assemble(series)
    world.assemble(renamed(series, "Correct^Name"))
    old, new = world.jobs()
    assert (old.status, new.status, new.generation) == ("superseded", "waiting", 2)
    paths = sources(world, series)
    assert len(paths) == len(series)
    assert pydicom.dcmread(paths[-1]).PatientName == "Correct^Name"
    assert [row.status for row in world.instances()] == ["older"] * 12 + ["used"] * 12


def test_a_header_update_of_one_slice_alone_gives_its_identity_to_all(world: World) -> None:
    series = head()
    world.assemble(series)
    world.assemble(renamed(series[:1], "Correct^Name"))
    world.age(61)
    world.assembler.tick()
    paths = sources(world, series)
    assert len(paths) == len(series)
    assert pydicom.dcmread(paths[-1]).PatientName == "Correct^Name"


def test_a_sender_that_corrects_a_header_is_no_sender_that_adds_late(world: World) -> None:
    series, next_one = head(), head("next", StudyInstanceUID=generate_uid())
    world.assemble(series, renamed(series, "Correct^Name"), next_one)
    assert world.series(next_one).status == "chosen"


def test_the_same_uid_with_other_pixels_is_a_conflict_that_refuses_the_series_failure_mode_09(world: World) -> None:
    series = head()
    world.assemble(series)
    changed = copy.deepcopy(series[3])
    changed.PixelData = np.full((8, 8), 1100, "<i2").tobytes()
    world.assemble([changed])
    world.age(61)
    world.assembler.tick()
    row = world.series(series)
    assert (row.status, row.refusal) == ("refused", "content_conflict")
    assert series[3].SOPInstanceUID in row.refusal_detail
    assert [job.status for job in world.jobs()] == ["superseded"]
    conflicting = [item for item in world.instances() if item.status == "conflict"]
    assert {item.sop_instance_uid for item in conflicting} == {str(series[3].SOPInstanceUID)}
    assert all((world.config.spool_dir / item.path).exists() for item in conflicting)


def test_the_same_uid_at_another_position_is_a_conflict(world: World) -> None:
    series = head()
    moved = copy.deepcopy(series[3])
    moved.ImagePositionPatient = [-112.0, -112.0, 37.0]
    world.assemble([*series, moved])
    world.age(61)
    world.assembler.tick()
    assert world.series(series).refusal == "content_conflict"


def test_pixels_that_no_decoder_can_read_twice_under_one_uid_are_a_conflict(world: World) -> None:
    series = head()
    twice = [copy.deepcopy(series[3]) for _ in range(2)]
    for ds, length in zip(twice, (10, 12), strict=True):
        ds.PixelData = bytes(length)
    world.assemble([*series[:3], *series[4:], *twice])
    world.age(61)
    world.assembler.tick()
    assert world.series(series).refusal == "content_conflict"


def test_the_same_files_again_change_nothing(world: World) -> None:
    series = head()
    world.assemble(series)
    peer = world.associate()
    assert set(world.receive(series, peer)) == {Indexed.DUPLICATE}
    world.end(peer)
    world.settle()
    assert [(job.status, job.generation) for job in world.jobs()] == [("waiting", 1)]


def test_a_series_that_matches_no_protocol_is_refused_for_that_and_shown(new_world: Callable[..., World]) -> None:
    world = new_world(protocols=({**ANY_CT, "match": {"StudyDescription": "(?i)thrombectomy"}},))
    series = head()
    world.assemble(series)
    with world.store.read() as session:
        (line,) = list_series_without_job(session)
        events = events_of(session, str(series[0].SeriesInstanceUID))
    assert (line.series_uid, line.status, line.refusal) == (series[0].SeriesInstanceUID, "refused", "no_protocol")
    assert [event.detail["refusal"] for event in events if event.name == "refuse"] == ["no_protocol"]


@pytest.mark.parametrize(
    ("refusal", "attributes"),
    [
        ("missing_slices", {"offsets": [offset for offset in EVEN if offset != 72]}),
        ("coverage_too_small", {"offsets": EVEN[:8]}),
        ("contrast_angiography", {"SeriesDescription": "CTA carotids"}),
        ("perfusion_or_multi_phase", {"SeriesDescription": "CTP perfusion"}),
        ("derived", {"ImageType": ["DERIVED", "SECONDARY", "MIP"]}),
        ("no_rescale", {"RescaleIntercept": None}),
    ],
)
def test_a_refusal_is_recorded_with_its_code_and_shown_by_list_and_why(
    world: World, refusal: str, attributes: dict[str, Any]
) -> None:
    series = head(**attributes)
    world.assemble(series)
    world.age(61)
    world.assembler.tick()
    with world.store.read() as session:
        assert list_jobs(session) == []
        (line,) = list_series_without_job(session)
        (event,) = [event for event in events_of(session, "A1") if event.name == "refuse"]
    assert (line.status, line.refusal) == ("refused", refusal)
    assert event.detail["refusal"] == refusal


def test_two_protocols_that_match_are_two_jobs(new_world: Callable[..., World]) -> None:
    world = new_world(protocols=(ANY_CT, {**ANY_CT, "name": "second", "priority": "stat"}))
    world.assemble(head())
    assert [(job.protocol, job.priority) for job in world.jobs()] == [("head-ct", "routine"), ("second", "stat")]


def test_a_job_that_an_operator_retried_while_its_series_grew_gives_way_to_the_whole_series(world: World) -> None:
    series = head(offsets=(*EVEN, 144.0))
    world.assemble(series[:-1])
    (job,) = world.jobs()
    world.change(lambda session: cancel_job(session, job.id))
    world.send(series[-1:])
    world.change(lambda session: requeue_job(session, job.id))
    world.age(61)
    world.assembler.tick()
    assert world.jobs()[0].status == "superseded"
    (new,) = world.active_jobs()
    assert new.generation == 2
    assert world.series(series).status == "chosen"


def test_a_series_that_breaks_the_assembler_holds_up_no_other(world: World) -> None:
    broken, fine = head("broken"), head("fine", StudyInstanceUID=generate_uid())
    world.send(broken)
    # A header as no scanner and no code of ours writes it: what a fault in this code would meet again and again.
    row = world.series(broken)
    world.change(
        lambda session: session.execute(
            text("UPDATE instance SET header = '[1]' WHERE series_id = :id"), {"id": row.id}
        )
    )
    world.send(fine)
    time.sleep(0.1)
    with pytest.raises(AttributeError):
        world.assembler.tick()
    world.assembler.tick()
    assert world.series(fine).status == "chosen"
    due_at = world.series(broken).due_at
    assert due_at is not None
    assert due_at > time.time() + 30


@both_databases
def test_the_history_of_a_study_and_of_its_job_begins_with_the_association_that_brought_it(world: World) -> None:
    images = head("head")
    world.send(images, calling_ae="CT7")
    world.settle()
    world.assembler.tick()
    (job,) = world.active_jobs()
    with world.store.read() as session:
        for identifier in (str(images[0].StudyInstanceUID), str(images[0].SOPInstanceUID), str(job.id)):
            first = events_of(session, identifier)[0]
            assert (first.subject, first.name, first.after) == ("association", "received", "released")
            said = {key: first.detail[key] for key in ("calling_ae", "called_ae", "address", "images")}
            assert said == {"calling_ae": "CT7", "called_ae": "NODE", "address": "127.0.0.1", "images": len(images)}
        assert events_of(session, "1.2.3.4.5") == events_of(session, "99999") == []


def test_an_association_for_each_image_is_one_transfer_in_the_history(world: World) -> None:
    images = head("head")
    for ds in images:
        world.send([ds])
    with world.store.read() as session:
        (first,) = [line for line in events_of(session, "A1") if line.subject == "association"]
    assert (first.detail["images"], first.detail["associations"]) == (len(images), len(images))


def test_a_node_that_stops_leaves_what_is_due_to_its_next_start(world: World) -> None:
    world.send(head("head"))
    world.is_stopping = True
    world.settle()
    world.assembler.tick()
    assert world.active_jobs() == []
    world.is_stopping = False
    world.assembler.tick()
    assert len(world.active_jobs()) == 1

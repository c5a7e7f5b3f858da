"""Results that hold no longer: what was sent gets a rejection note, once, after the new ones are there."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import update

from dicomnode.execute.notes import prepare_note
from dicomnode.execute.tasks import EncodeReply
from dicomnode.store.deliver.outbox import claim_parcels, note_sent_unrecorded, try_extend_lease
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.history.lines import EventLine
from dicomnode.store.queue.jobs import claim_job, recover_leases
from dicomnode.store.tables import Outbox
from tests.acceptance.scanner import small_study
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.execute.life_world import LifeWorld, named_by, predecessors_of, uids_of
from tests.integration.execute.world import Bundles, Workers
from tests.integration.store.fixture import both_databases, sqlite_only
from tests.tools.key_objects import key_object
from tests.unit.encode.kinds.test_sr import items, text

NewWorld = Callable[..., LifeWorld]


@pytest.fixture
def new_world(store: Store, tmp_path: Path, bundles: Bundles, workers: Workers) -> Iterator[NewWorld]:
    """Makes the one world of a test: ``new_world(destination={...})``."""
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        yield lambda **more: LifeWorld(store, tmp_path / "data", bundles, workers, pacs, **more)


def deliver_all_but_the_last_slice(world: LifeWorld) -> list[Dataset]:
    """A head arrives without its last slice, is run and delivered; returns that slice."""
    series = small_study("head")
    world.assemble(series[:-1])
    world.settle_all()
    assert [job.status for job in world.jobs()] == ["done"]
    return series[-1:]


@both_databases
def test_a_late_slice_makes_new_results_and_then_rejects_the_old_ones(new_world: NewWorld) -> None:
    world = new_world()
    late = deliver_all_but_the_last_slice(world)
    old = world.received()
    world.assemble(late)
    world.settle_all()
    assert [(job.task, job.status) for job in world.jobs()] == [
        ("analysis", "superseded"),
        ("rejection", "done"),
        ("analysis", "done"),
    ]
    *new, note = world.received()[len(old) :]
    assert [str(ds.SOPInstanceUID) for ds in world.rejections()] == [note.SOPInstanceUID]  # the very last to arrive
    assert named_by(note) == uids_of(old)
    assert {ds.Modality for ds in new} == {ds.Modality for ds in old}
    assert uids_of(new).isdisjoint(uids_of(old))
    assert (note.StudyInstanceUID, note.PatientID) == (old[0].StudyInstanceUID, old[0].PatientID)


@sqlite_only
def test_the_new_reports_name_their_predecessors_and_pass_the_judges(new_world: NewWorld) -> None:
    world = new_world()
    late = deliver_all_but_the_last_slice(world)
    before = {ds.SOPClassUID: ds for ds in world.received()}
    assert all(not predecessors_of(ds) for ds in before.values())
    world.assemble(late)
    world.settle_all()
    *new, note = world.received()[len(before) :]
    reports = [ds for ds in new if ds.Modality == "SR"]
    assert len(reports) == 2
    for ds in reports:
        assert predecessors_of(ds) == {before[ds.SOPClassUID].SOPInstanceUID}
    if shutil.which("dciodvfy"):
        for ds in [*reports, note]:
            path = world.pacs.folder / f"{ds.SOPInstanceUID}.dcm"
            judged = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False)
            assert b"Error" not in judged.stderr + judged.stdout, judged.stderr
            subprocess.run(["dsrdump", path], capture_output=True, check=True)


@sqlite_only
def test_the_old_results_stay_until_the_new_ones_are_proven(new_world: NewWorld) -> None:
    world = new_world(destination={"proof_wait_s": 60.0})
    late = deliver_all_but_the_last_slice(world)
    world.pacs.hidden_looks = world.pacs.looks + 10_000
    world.assemble(late)
    world.turn_until(lambda: world.jobs()[-1].status == "delivering")
    for _ in range(20):
        world.turn()
    assert [job.status for job in world.notes("rejection")] == ["waiting"]
    world.pacs.hidden_looks = 0
    world.turn_until(lambda: world.rejections())
    assert world.jobs()[-1].status == "done"


@sqlite_only
def test_when_the_amended_series_is_refused_the_outdated_results_are_rejected_without_new_ones(
    new_world: NewWorld,
) -> None:
    world = new_world()
    series = small_study("head")
    world.assemble(series[:-1])
    world.settle_all()
    old = uids_of(world.received())
    far = series[-1]
    far.ImagePositionPatient = [*far.ImagePositionPatient[:2], far.ImagePositionPatient[2] + 60.0]
    world.assemble([far])
    world.settle_all()
    assert world.series(series).refusal == "missing_slices"
    (note,) = world.rejections()
    assert named_by(note) == old


@sqlite_only
def test_what_never_arrived_is_not_rejected(new_world: NewWorld) -> None:
    world = new_world(destination={"retry_min_s": 60.0, "retry_max_s": 60.0})
    series = small_study("head")
    world.assemble(series[:-1])
    world.duties()
    assert world.step()
    world.pacs.statuses = [0x0000, 0xC000, 0xC000, 0xC000]
    world.turn()
    there = uids_of(world.received())
    assert len(there) == 1
    world.assemble(series[-1:])
    world.settle_all()
    (note,) = world.rejections()
    assert named_by(note) == there


def test_a_result_whose_answer_was_lost_is_rejected_because_the_pacs_shows_it(new_world: NewWorld) -> None:
    world = new_world(destination={"retry_min_s": 60.0, "retry_max_s": 60.0})
    series = small_study("head")
    world.assemble(series[:-1])
    world.duties()
    assert world.step()
    world.pacs.keeps_then_drops = True
    world.sender.step()
    there = uids_of(world.received())
    assert len(there) == 1
    assert {row.sent_at for row in world.outbox()} == {None}
    world.assemble(series[-1:])
    world.sender = world.new_sender()  # its circuit breaker is open; a start closes it
    world.settle_all()
    (note,) = world.rejections()
    assert named_by(note) == there
    assert [event.name for event in _events(world) if event.name == "found"] == ["found"]


@sqlite_only
def test_an_answer_that_names_nothing_does_not_mean_that_a_result_never_arrived(new_world: NewWorld) -> None:
    world = new_world(destination={"retry_min_s": 60.0, "retry_max_s": 60.0})
    series = small_study("head")
    world.assemble(series[:-1])
    world.duties()
    assert world.step()
    world.pacs.keeps_then_drops = True
    world.sender.step()
    there = uids_of(world.received())
    world.assemble(series[-1:])
    world.pacs.says, world.pacs.alone_status = {"SOPInstanceUID": ""}, 0xA900
    world.sender = world.new_sender()
    for _ in range(20):
        world.turn()
    assert [job.status for job in world.notes("rejection")] == ["waiting"]
    world.pacs.says, world.pacs.alone_status = {}, 0x0000
    world.change(lambda session: session.execute(update(Outbox).values(next_attempt_at=0.0)))
    world.settle_all()
    (note,) = world.rejections()
    assert named_by(note) == there


@both_databases
def test_a_result_that_was_on_its_way_when_it_was_superseded_is_rejected_once_its_answer_is_known(
    new_world: NewWorld,
) -> None:
    world = new_world()
    series = small_study("head")
    world.assemble(series[:-1])
    world.duties()
    assert world.step()
    parcels = world.change(lambda session: claim_parcels(session, "pacs", owner="node/pacs", lease_s=60.0))
    world.assemble(series[-1:])
    arrived, *others = parcels
    world.turn_until(lambda: world.jobs()[-1].status == "done")
    world.duties()
    assert [job.status for job in world.notes("rejection")] == ["waiting"]
    world.change(lambda session: note_sent_unrecorded(session, arrived, status=0))
    for parcel in others:
        assert not world.change(lambda session, parcel=parcel: try_extend_lease(session, parcel, lease_s=60.0))
    # The destination is asked about the others; on a busy machine it may be asked again only after a while.
    world.turn_until(world.rejections)
    world.settle_all()
    assert [named_by(note) for note in world.rejections()] == [{arrived.sop_instance_uid}]


@sqlite_only
def test_where_nothing_arrived_there_is_no_note(new_world: NewWorld) -> None:
    world = new_world()
    series = small_study("head")
    world.assemble(series[:-1])
    world.duties()
    assert world.step()
    world.pacs.statuses = [0xA700] * 4
    world.sender.step()
    world.assemble(series[-1:])
    world.settle_all()
    assert world.rejections() == []
    assert [job.status for job in world.notes("rejection")] == ["cancelled"]


@sqlite_only
def test_a_destination_that_takes_no_rejection_notes_gets_none_and_why_says_so(new_world: NewWorld) -> None:
    world = new_world(destination={"results": ("seg", "sr")})
    late = deliver_all_but_the_last_slice(world)
    world.assemble(late)
    world.settle_all()
    assert world.rejections() == []
    (event,) = [event for event in _events(world) if event.name == "cancel"]
    assert event.detail["reason"] == "pacs takes no rejection notes: the outdated results stay there"


@sqlite_only
def test_a_note_reaches_a_destination_that_takes_no_research_any_more(new_world: NewWorld) -> None:
    world = new_world()
    late = deliver_all_but_the_last_slice(world)
    (pacs,) = world.config.destination
    closed = world.config.model_copy(update={"destination": (pacs.model_copy(update={"accept_research": False}),)})
    world.config = world.dispatcher.config = closed
    world.sender = world.new_sender()
    old = uids_of(world.received())
    world.assemble(late)
    world.settle_all()
    assert [named_by(note) for note in world.rejections()] == [old]
    assert len(world.received()) == len(old) + 1


def test_a_note_whose_writer_died_is_written_once_with_the_same_uid(new_world: NewWorld) -> None:
    world = new_world()
    late = deliver_all_but_the_last_slice(world)
    world.assemble(late)
    world.turn_until(lambda: world.jobs()[-1].status == "done")
    world.duties()
    with world.store.write() as session:
        lost = claim_job(session, owner="node", lease_s=60.0)
    assert lost is not None
    prepared = prepare_note(
        world.config, world.store, lost, world.config.work_dir.absolute() / "lost", is_research=True
    )
    assert prepared.task is not None
    written = world.dispatcher.case_worker.ask(prepared.task, timeout_s=60, tick=lambda: None)
    assert isinstance(written, EncodeReply)
    world.change(lambda session: recover_leases(session, time.time(), owner="node"))
    world.settle_all()
    assert [str(note.SOPInstanceUID) for note in world.rejections()] == [written.results[0].sop_instance_uid]
    assert len(world.pacs.asked) == len(set(world.pacs.asked))


def test_images_that_their_archive_rejects_take_their_delivered_results_with_them_at_once(new_world: NewWorld) -> None:
    world = new_world()
    series = small_study("head")
    world.assemble(series)
    world.settle_all()
    old = uids_of(world.received())
    world.assemble([key_object(series, "113037")], calling_ae="PACS")
    world.settle_all()
    (note,) = world.rejections()
    assert named_by(note) == old
    texts = [item.TextValue for item in note.ContentSequence if item.ValueType == "TEXT"]
    assert texts[-1] == "Withdrawn: the images that it was made from were rejected"
    assert world.series(series).refusal == "rejected"
    assert {event.name for event in _events(world)} >= {"rejection_note", "rejected", "supersede"}


@sqlite_only
def test_a_note_that_waits_for_new_results_waits_no_longer_once_the_images_are_rejected(new_world: NewWorld) -> None:
    world = new_world(reception={"quiet_period_s": 3600.0})
    series = small_study("head")
    world.assemble(series[:-1])
    world.settle_all()
    old = uids_of(world.received())
    world.assemble(series[-1:])
    world.settle_all()
    assert [job.status for job in world.notes("rejection")] == ["waiting"]
    world.assemble([key_object(series, "113001")], calling_ae="PACS")
    world.settle_all()
    assert [named_by(note) for note in world.rejections()] == [old]


REPORTING = {"results": ("seg", "sr", "text", "rejection", "not_performed")}


def gappy_head() -> tuple[list[Dataset], list[Dataset]]:
    """A head without a slice in the middle, and that slice."""
    series = small_study("head")
    return [*series[:12], *series[13:]], series[12:13]


def test_a_study_without_a_result_says_so_in_the_pacs_and_takes_it_back_when_there_is_one(new_world: NewWorld) -> None:
    world = new_world(destination=REPORTING, reception={"study_quiet_s": 0.2})
    gappy, missing = gappy_head()
    world.assemble(gappy)
    world.settle_all()
    (report,) = world.received()
    assert report.SeriesDescription == "AI not performed (research)"
    assert report.StudyInstanceUID == gappy[0].StudyInstanceUID
    assert items(report, "NOTPERFORMED")[0].ConceptCodeSequence[0].CodeValue == "MISSING_SLICES"
    assert text(report, "NEEDED") == "Send the series again, complete and as the scanner made it."
    world.assemble(missing)
    world.settle_all()
    *results, note = world.received()[1:]
    assert {ds.Modality for ds in results} == {"SEG", "SR"}
    assert world.rejections() == [note]
    assert named_by(note) == {report.SOPInstanceUID}


@sqlite_only
def test_a_report_that_nothing_was_done_passes_the_judges(new_world: NewWorld) -> None:
    world = new_world(destination=REPORTING, reception={"study_quiet_s": 0.1})
    world.assemble(gappy_head()[0])
    world.settle_all()
    (path,) = world.pacs.folder.glob("*.dcm")
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    judged = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False)
    assert b"Error" not in judged.stderr + judged.stdout, judged.stderr
    subprocess.run(["dsrdump", path], capture_output=True, check=True)


@sqlite_only
def test_notes_and_results_that_the_pacs_sends_back_are_never_processed(new_world: NewWorld) -> None:
    world = new_world()
    late = deliver_all_but_the_last_slice(world)
    world.assemble(late)
    world.settle_all()
    jobs = [(job.id, job.status) for job in world.jobs()]
    back = world.received()
    for ds in back:
        ds.PatientName = "Coerced^By^The^Archive"
    world.assemble(back, calling_ae="PACS")
    world.settle_all()
    assert [(job.id, job.status) for job in world.jobs()] == jobs
    assert {item.reason for item in world.instances()[-len(back) :]} == {"own_result"}


def _events(world: LifeWorld) -> list[EventLine]:
    with world.store.read() as session:
        return events_of(session, world.jobs()[0].study_uid)

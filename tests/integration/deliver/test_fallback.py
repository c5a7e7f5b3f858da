"""A PACS that refuses a class: learned once, and what tells the same is sent in its place. With a real worker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from dicomnode.app.checkup import Finding, checkup
from dicomnode.cli.main import app
from dicomnode.config.load import load_config
from dicomnode.dicom.statuses import SOP_CLASS_NOT_SUPPORTED
from dicomnode.kinds import (
    COMPREHENSIVE_3D_SR,
    COMPREHENSIVE_SR,
    ENHANCED_SR,
    MULTI_FRAME_WORD_SC,
    SECONDARY_CAPTURE,
    SEGMENTATION,
)
from dicomnode.store.deliver import fallback
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import cancel_job
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import small_study
from tests.acceptance.served import ServedNode
from tests.integration.app.test_node import OVER, send_study
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.world import World
from tests.integration.execute.life_world import LifeWorld
from tests.integration.execute.world import Bundles, Workers
from tests.integration.receive.world import wait_until
from tests.integration.store.fixture import sqlite_only
from tests.tools.bundle import write_threshold_bundle
from tests.tools.tiny_bundles import write_later_scan

FIRST_CHOICE = {"seg": SEGMENTATION, "sr": COMPREHENSIVE_3D_SR}


NewWorld = Callable[..., LifeWorld]


@pytest.fixture
def new_world(store: Store, tmp_path: Path, bundles: Bundles, workers: Workers) -> Iterator[NewWorld]:
    """Makes the one world of a test, with a PACS that refuses these classes."""
    pacs = ScriptedPacs(tmp_path / "pacs")

    def make(*refused: str, results: tuple[str, ...] = ("seg", "sr", "text")) -> LifeWorld:
        pacs.refused_classes = set(refused)
        pacs.start()
        return LifeWorld(store, tmp_path / "data", bundles, workers, pacs, destination={"results": results})

    yield make
    pacs.stop()


def classes_of(datasets: list[Dataset]) -> list[str]:
    """SOP classes, each once, in order of arrival."""
    return list(dict.fromkeys(str(ds.SOPClassUID) for ds in datasets))


def kinds(world: LifeWorld, job_id: int) -> dict[str, str]:
    """Kind -> status of its delivery."""
    return {line.kind: line.status for line in world.job(job_id).deliveries}


@sqlite_only
def test_a_pacs_that_refuses_segmentations_gets_pictures_of_the_marked_slices(new_world: NewWorld) -> None:
    world = new_world(SEGMENTATION)
    first = world.queue_head()
    world.settle_all()
    assert world.job(first).status == "done"
    assert kinds(world, first) == {"seg": "replaced", "sr": "proven", "text": "proven", "seg_sc": "proven"}
    pictures = [ds for ds in world.received() if ds.SOPClassUID == SECONDARY_CAPTURE]
    assert len({ds.SeriesInstanceUID for ds in pictures}) == 1 < len(pictures)
    assert {ds.Modality for ds in pictures} == {"OT"}
    with world.store.read() as session:
        (line,) = fallback.list_refusals(session)
    assert (line.destination, line.sop_class_uid) == ("pacs", SEGMENTATION)
    assert "accepts no presentation context for Segmentation Storage" in line.how
    before = len(world.received())
    second = world.queue_head("another head")
    world.settle_all()
    # Known by now: neither offered nor encoded a second time.
    assert kinds(world, second) == {"seg_sc": "proven", "sr": "proven", "text": "proven"}
    assert len(world.received()) > before
    assert len(world.events("fall_back", "job")) == 1


@sqlite_only
def test_a_pacs_that_refuses_comprehensive_3d_reports_gets_a_comprehensive_one(new_world: NewWorld) -> None:
    world = new_world(COMPREHENSIVE_3D_SR)
    job_id = world.queue_head()
    world.settle_all()
    assert kinds(world, job_id) == {"seg": "proven", "sr": "replaced", "text": "proven", "sr_comp": "proven"}
    (report,) = [ds for ds in world.received() if ds.SOPClassUID == COMPREHENSIVE_SR]
    (seg,) = [ds for ds in world.received() if ds.SOPClassUID == SEGMENTATION]
    assert str(seg.SOPInstanceUID) in str(report.CurrentRequestedProcedureEvidenceSequence)


@sqlite_only
def test_a_pacs_that_takes_enhanced_reports_only_gets_these(new_world: NewWorld) -> None:
    world = new_world(COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR, SEGMENTATION)
    job_id = world.queue_head()
    world.settle_all()
    assert world.job(job_id).status == "done"
    assert kinds(world, job_id) == {
        "seg": "replaced",
        "sr": "replaced",
        "sr_comp": "replaced",
        "sr_enhanced": "proven",
        "seg_sc": "proven",
        "text": "proven",
    }
    assert sorted(classes_of(world.received())) == sorted([ENHANCED_SR, SECONDARY_CAPTURE])
    titles = {str(ds.SeriesDescription) for ds in world.received() if ds.SOPClassUID == ENHANCED_SR}
    assert len(titles) == 2  # the text, and the measurements
    second = world.queue_head("another head")
    world.settle_all()
    assert set(kinds(world, second)) == {"sr_enhanced", "seg_sc", "text"}


@sqlite_only
def test_a_status_that_says_the_class_is_not_supported_is_a_refusal_too(new_world: NewWorld) -> None:
    world = new_world(results=("seg", "text"))
    world.pacs.statuses = [SOP_CLASS_NOT_SUPPORTED]
    job_id = world.queue_head()
    world.settle_all()
    assert kinds(world, job_id) == {"seg": "replaced", "text": "proven", "seg_sc": "proven"}


@sqlite_only
def test_any_other_failure_teaches_nothing(new_world: NewWorld) -> None:
    world = new_world(results=("seg", "text"))
    world.pacs.statuses = [0xA900, 0xC000, 0x0110]
    job_id = world.queue_head()
    world.settle_all()
    assert kinds(world, job_id) == {"seg": "proven", "text": "proven"}
    with world.store.read() as session:
        assert fallback.list_refusals(session) == []


@sqlite_only
def test_what_is_forgotten_is_offered_again(new_world: NewWorld) -> None:
    world = new_world(SEGMENTATION, results=("seg", "text"))
    world.queue_head()
    world.settle_all()
    world.pacs.stop()
    world.pacs.refused_classes = set()
    world.pacs.start()
    with world.store.write() as session:
        assert fallback.forget_refusals(session, "pacs") == 1
    second = world.queue_head("another head")
    world.settle_all()
    assert kinds(world, second) == {"seg": "proven", "text": "proven"}


@sqlite_only
def test_a_job_that_falls_back_may_be_cancelled_in_between(new_world: NewWorld) -> None:
    world = new_world(SEGMENTATION, results=("seg",))
    job_id = world.queue_head()
    world.turn_until(lambda: world.job(job_id).status == "queued" and kinds(world, job_id) == {"seg": "replaced"})
    with world.store.write() as session:
        assert cancel_job(session, job_id) == "cancelled"
    world.settle_all()
    assert (world.job(job_id).status, world.received()) == ("cancelled", [])


def test_results_that_wait_when_a_class_is_refused_are_not_offered_either(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path / "data")
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = {SEGMENTATION}
    jobs = [world.deliver("seg", "sr")[0] for _ in range(3)]
    with pacs:
        world.sender(world.destination(pacs.port)).step()
        later, _ = world.deliver("seg", "sr")
        world.sender(world.destination(pacs.port)).step()
    for job_id in (*jobs, later):
        assert world.statuses(job_id)[0] == "replaced"
        assert world.job(job_id).status == "queued"  # to make what stands in
    said = [event.detail["reason"] for event in world.events("replace")]
    assert "no presentation context" in said[0]
    assert said[-1] == "the destination is known to refuse it"
    assert {event.detail["instead"] for event in world.events("replace")} == {"seg_sc"}


def test_a_stand_in_that_was_not_made_is_a_failed_delivery_and_no_endless_loop(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path / "data")
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = {SEGMENTATION}
    job_id, _ = world.deliver("seg")
    with pacs:
        world.sender(world.destination(pacs.port)).step()
    assert world.job(job_id).status == "queued"
    with world.store.write() as session:
        assert fallback.missing_kinds(session, job_id) == ["seg_sc"]
        fallback.send_stand_ins(session, job_id, made=["seg_sc"])
    assert world.statuses(job_id) == ["failed"]
    assert "there is no seg_sc" in world.rows(job_id)[0].error


def test_a_peer_that_rejects_everything_for_no_reason_is_believed_nothing(store: Store, tmp_path: Path) -> None:
    world = World(store, tmp_path / "data")
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.accepted_syntaxes = ["1.2.840.10008.1.2.4.50"]  # every context is rejected, for its transfer syntax
    pacs.offers_find = True
    job_id, _ = world.deliver("seg", proof="status")
    with pacs:
        world.sender(world.destination(pacs.port, proof="status", identity="trust")).step()
    assert world.statuses(job_id) == ["pending"]
    with world.store.read() as session:
        assert fallback.list_refusals(session) == []


@pytest.fixture
def command_line(sqlite_template: Path, tmp_path: Path) -> Iterator[tuple[Store, Path, ScriptedPacs]]:
    """A configuration file as an admin has it, its database, and a PACS that refuses SEG and 3D reports."""
    (tmp_path / "data").mkdir()
    opened = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'data' / 'node.db')}")
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = {SEGMENTATION, COMPREHENSIVE_3D_SR}
    with pacs:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[node]\ndata_dir = "{tmp_path / "data"}"\nhost = "127.0.0.1"\nport = 0\n[reception]\nmin_free_gb = 0.0\n'
            f'[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
            'results = ["seg", "sr", "text"]\n'
        )
        yield opened, config, pacs
    opened.close()


def findings(config: Path) -> list[Finding]:
    said = checkup(load_config(config, serving=False), load_models=False)
    return [finding for finding in said if finding.what == "destination pacs"]


def test_check_says_what_is_sent_in_place_learns_it_and_forgets_it(
    command_line: tuple[Store, Path, ScriptedPacs],
) -> None:
    store, config, pacs = command_line
    says = {finding.says: finding for finding in findings(config)}
    assert "accepts: text" in says
    (seg,) = [finding for text, finding in says.items() if "Segmentation Storage" in text]
    assert "seg_sc is sent" in seg.says
    assert "known since 20" in seg.says
    assert (seg.ok, seg.fatal) == (False, False)
    assert any("sr_comp is sent" in text for text in says)
    with store.read() as session:
        assert {line.sop_class_uid for line in fallback.list_refusals(session)} == {SEGMENTATION, COMPREHENSIVE_3D_SR}
    pacs.stop()
    pacs.refused_classes = {COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR, ENHANCED_SR}
    pacs.start()
    again = findings(config)
    assert any(finding.fatal and "does not accept sr" in finding.says for finding in again)
    with store.read() as session:
        assert {line.sop_class_uid for line in fallback.list_refusals(session)} == pacs.refused_classes


def test_the_commands_show_and_forget_what_is_refused(command_line: tuple[Store, Path, ScriptedPacs]) -> None:
    store, config, _ = command_line
    with store.write() as session:
        assert fallback.learn_refusal(session, "pacs", SEGMENTATION, how="said so")
        assert not fallback.learn_refusal(session, "pacs", SEGMENTATION, how="said so again")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["destinations", *arguments, "--config", str(config)])
        assert result.exit_code == 0, result.output
        return result.output

    (line,) = json.loads(run("refusals", "--json"))["refusals"]
    assert (line["destination"], line["sop_class_uid"], line["how"]) == ("pacs", SEGMENTATION, "said so")
    assert "seg" in run("refusals")
    assert run("forget", "pacs") == "1 refused classes are forgotten\n"
    assert "none" in run("refusals")


@pytest.mark.full
@pytest.mark.tools
def test_a_node_process_delivers_to_a_pacs_that_takes_pictures_and_enhanced_reports_only(tmp_path: Path) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = {SEGMENTATION, COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR}
    with pacs:
        destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port}
        node = ServedNode(
            tmp_path / "node",
            free_port(),
            [destination | {"accept_research": True}],
            reception={"settle_s": 0.1, "selection_wait_s": 0.0},
            models=("threshold",),
            zoo_paths=(write_threshold_bundle(tmp_path / "bundle"),),
        )
        node.start()
        try:
            send_study(node, tmp_path, small_study("node"))
            wait_until(lambda: node.states()[:1] and node.states()[0] in OVER, 200)
            shown = json.loads(node.command("jobs", "show", str(node.jobs()[0]["job_id"]), "--json").stdout)
            why = node.command("why", "ACC-node").stdout
        finally:
            node.stop()
    states = {line["kind"]: line["status"] for line in shown["deliveries"]}
    expected = {"seg": "replaced", "sr": "replaced", "sr_comp": "replaced"}
    expected |= dict.fromkeys(("sr_enhanced", "seg_sc", "text", "sc"), "proven")
    assert (shown["status"], states) == ("done", expected)
    assert {stored.sop_class_uid for stored in pacs.instances} == {SECONDARY_CAPTURE, ENHANCED_SR}
    assert "fall_back" in why
    assert "replace" in why


@pytest.mark.tools
def test_a_pacs_that_takes_no_multi_frame_gets_the_predicted_scan_as_single_images(tmp_path: Path) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = {MULTI_FRAME_WORD_SC}
    with pacs:
        destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port}
        node = ServedNode(
            tmp_path / "node",
            free_port(),
            [destination | {"accept_research": True, "results": ["predicted"]}],
            reception={"settle_s": 0.1, "selection_wait_s": 0.0},
            models=("later_scan",),
            zoo_paths=(write_later_scan(tmp_path / "bundle"),),
        )
        node.start()
        study = small_study("forecast")
        try:
            send_study(node, tmp_path, study)
            wait_until(lambda: node.states()[:1] and node.states()[0] in OVER, 200)
            shown = json.loads(node.command("jobs", "show", str(node.jobs()[0]["job_id"]), "--json").stdout)
        finally:
            node.stop()
    # one delivery an image
    kept = [line["status"] for line in shown["deliveries"] if line["kind"] == "predicted_sc"]
    assert (shown["status"], kept) == ("done", ["proven"] * len(study))
    assert [stored.sop_class_uid for stored in pacs.instances] == [SECONDARY_CAPTURE] * len(study)

"""The life of a node beyond its jobs: a case is given away, data is saved and brought back, a node is drained."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.app.export.cleaned import Cleaner
from dicomnode.dicom.deidentify.profile import Deidentifier
from dicomnode.dicom.deidentify.pseudonyms import Pseudonyms
from dicomnode.errors import ExportRefusal, ExportRefused
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import small_study
from tests.acceptance.served import ServedNode
from tests.integration.app.test_node import OVER, new_node, send_study
from tests.integration.receive.peers import ScriptedPeer
from tests.integration.receive.world import wait_until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.series import ct_series, write_series

pytestmark = pytest.mark.timeout(1200)

PATIENCE_S = 500
"""A node starts twice, beside whatever else uses the processors."""
EARLIER_CASE = Path(__file__).parent / "earlier" / "case-1.zip"
"""Of a synthetic study, written by ``export-case`` of the code of 2026-11-29 (commit 10e8d0a and what followed)."""
NAMED = {
    "PatientName": "Mustermann^Änne",
    "PatientID": "4711-0815",
    "PatientBirthDate": "19400229",
    "PatientAge": "085Y",
    "InstitutionName": "Charlottenheim Hospital",
    "StationName": "CTROOM-SEVEN",
    "DeviceSerialNumber": "SN-998877",
    "ReferringPhysicianName": "Brandauer^Klaus",
    "SpecificCharacterSet": "ISO_IR 192",
}


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingPacs]:
    """Receives the results."""
    with ReceivingPacs(tmp_path_factory.mktemp("pacs"), "PACS") as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: ReceivingPacs) -> Iterator[ServedNode]:
    """A node that has run a study which names its patient."""
    folder = tmp_path_factory.mktemp("node")
    served = new_node(folder, pacs.port, write_threshold_bundle(folder / "bundle"))
    served.start()
    send_study(served, folder / "sent", named_study("life"))
    wait_until(lambda: served.states()[:1] and served.states()[0] in OVER, PATIENCE_S)
    yield served
    served.stop()


def named_study(name: str) -> list[Dataset]:
    """A study as a hospital sends it: who, where, by which machine, by which request."""
    study = small_study(name)
    for ds in study:
        request = Dataset()
        request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP-1234567", "SPS-7654321"
        ds.RequestAttributesSequence = Sequence([request])
        ds.private_block(0x0009, "VENDOR", create=True).add_new(1, "LO", "Mustermann again")
        for keyword, value in NAMED.items():
            setattr(ds, keyword, value)
    return study


@pytest.fixture(scope="module")
def case(node: ServedNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported case."""
    folder = tmp_path_factory.mktemp("case")
    done = node.command("export-case", "1", "--out", str(folder / "case.zip"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 24
    assert (folder / "case.zip").stat().st_mode & 0o077 == 0
    told = json.loads(node.command("why", "1", "--json").stdout)["events"]
    assert [(one["name"], one["detail"]["images"]) for one in told if one["subject"] == "operator"] == [("export", 24)]
    with zipfile.ZipFile(folder / "case.zip") as archive:
        archive.extractall(folder)
    return folder


def errors_of(path: Path) -> set[str]:
    """What dicom3tools finds wrong with a file."""
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False, timeout=60)
    return {line for line in done.stderr.splitlines() if line.startswith("Error") and "(0008,001c)" not in line}


def test_an_exported_case_holds_no_byte_string_that_named_the_patient(node: ServedNode, case: Path) -> None:
    study = named_study("life")[0]
    uids = [study.StudyInstanceUID, study.SeriesInstanceUID, study.SOPInstanceUID, study.FrameOfReferenceUID]
    spool = [path.stem for path in (node.folder / "data/spool").rglob("*.dcm")]
    named = [part for value in NAMED.values() for part in value.split("^")]
    others = ["ACC-life", "RP-1234567", "SPS-7654321", "20260101", "Mustermann again", "CT1", "AINODE"]
    wanted = {*named, *others, *map(str, uids), *spool} - {"ISO_IR 192"}
    members = [path for path in case.rglob("*") if path.is_file() and path.name != "case.zip"]
    assert len(members) > 26
    for path in members:
        content = path.read_bytes()
        assert [name for name in wanted if name.encode() in content] == [], path.name


@pytest.mark.tools
def test_an_exported_case_is_as_valid_as_what_was_received(node: ServedNode, case: Path) -> None:
    received = next((node.folder / "data/spool").rglob("*.dcm"))
    assert errors_of(case / "images/00001.dcm") <= errors_of(received)
    results = sorted((case / "results").glob("*.dcm"))
    assert {path.name.split("-")[0] for path in results} == {"seg", "sr"}
    for path in (case / "images/00001.dcm", *results):
        dumped = subprocess.run(["dcmdump", str(path)], capture_output=True, text=True, check=True, timeout=60)
        assert "PatientIdentityRemoved" in dumped.stdout
        assert "Basic Application Confidentiality Profile" in dumped.stdout
    assert {path.name: errors_of(path) for path in results if errors_of(path)} == {}


def test_results_of_an_exported_case_still_belong_to_its_images(case: Path) -> None:
    images = [pydicom.dcmread(path) for path in (case / "images").iterdir()]
    (seg,) = [pydicom.dcmread(path) for path in (case / "results").glob("seg-*.dcm")]
    referenced = {
        str(item.ReferencedSOPInstanceUID) for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced <= {str(ds.SOPInstanceUID) for ds in images}
    assert len(referenced) > 3
    assert {seg.StudyInstanceUID, seg.FrameOfReferenceUID} == {
        images[0].StudyInstanceUID,
        images[0].FrameOfReferenceUID,
    }


def test_an_exported_case_says_what_happened_and_by_which_model(node: ServedNode, case: Path) -> None:
    told = json.loads((case / "case.json").read_text())
    assert told["job"]["decision"] == "positive"
    assert told["runs"][0]["digest"].startswith("sha256:")
    assert {"complete", "claim", "succeed"} <= {event["name"] for event in told["events"]}
    assert {"text", "sc"} <= set(told["left_out"])


def assert_found_again(node: ServedNode, case: Path, out: Path) -> None:
    """That a case comes to what it came to, when its images are processed."""
    told = json.loads((case / "case.json").read_text())
    again = node.command("process", str(case / "images"), "--protocol", "head-ct", "--out", str(out), "--json")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert found["series_uid"] == told["job"]["series_uid"]
    (before,) = told["runs"][0]["outcomes"]
    assert (found["decision"], found["findings"][0]["volume_ml"]) == (told["job"]["decision"], before["volume_ml"])
    (new,), (old,) = out.glob("seg-*.dcm"), (case / "results").glob("seg-*.dcm")
    assert np.array_equal(pydicom.dcmread(new).pixel_array, pydicom.dcmread(old).pixel_array)


def test_an_exported_case_runs_again_to_the_same_finding(node: ServedNode, case: Path, tmp_path: Path) -> None:
    assert_found_again(node, case, tmp_path)


def test_a_case_that_an_earlier_version_exported_runs_again_to_the_same_finding(
    node: ServedNode, tmp_path: Path
) -> None:
    with zipfile.ZipFile(EARLIER_CASE) as archive:
        archive.extractall(tmp_path / "case")
    assert_found_again(node, tmp_path / "case", tmp_path / "again")


def test_a_case_that_may_not_leave_is_refused_by_code_and_nothing_is_written(node: ServedNode, tmp_path: Path) -> None:
    (tmp_path / "there.zip").touch()
    there = node.command("export-case", "1", "--out", str(tmp_path / "there.zip"))
    assert (there.returncode, there.stderr.startswith("file_exists:")) == (1, True)
    unknown = node.command("export-case", "77", "--out", str(tmp_path / "case.zip"))
    assert (unknown.returncode, "there is no job 77" in unknown.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]


def restored(node: ServedNode, backup: Path, folder: Path) -> ServedNode:
    """A node with the same configuration on another folder and port, brought back from a backup."""
    new = replace(node, folder=folder, port=free_port(), operations={"port": 0}, process=None)
    new.write_config()
    done = new.command("restore", str(backup), "--json")
    assert done.returncode == 0, done.stderr
    return new


def test_a_node_that_was_killed_goes_on_from_its_backup_elsewhere_and_sends_nothing_twice(
    node: ServedNode, pacs: ReceivingPacs, tmp_path: Path
) -> None:
    node.command("destinations", "pause", "pacs")
    send_study(node, tmp_path / "unsent", named_study("unsent"))
    wait_until(lambda: node.states()[0] == "delivering", PATIENCE_S)
    node.command("jobs", "pause")
    send_study(node, tmp_path / "unrun", named_study("unrun"))
    wait_until(lambda: len(node.states()) == 3, PATIENCE_S)
    made = node.command("backup", "--out", str(tmp_path / "node.tar"), "--json")
    assert json.loads(made.stdout)["files"] > 72, made.stderr
    for part in (("destinations", "resume", "pacs"), ("jobs", "resume")):
        assert node.command(*part).returncode == 0
    wait_until(lambda: set(node.states()) <= {*OVER}, PATIENCE_S)
    node.kill()
    new = restored(node, tmp_path / "node.tar", tmp_path / "elsewhere")
    assert sorted(new.states()) == sorted(["done", "delivering", "queued"])
    for part in (("destinations", "resume", "pacs"), ("jobs", "resume")):
        new.command(*part)
    new.start()
    try:
        wait_until(lambda: set(new.states()) <= {*OVER}, PATIENCE_S)
        received = Counter(stored.sop_instance_uid for stored in pacs.instances)
        assert len(received) == 3 * 4
        assert {uid: count for uid, count in received.items() if count > 1} == {}
    finally:
        new.stop()
        node.start()


def test_without_images_a_backup_is_small_and_says_what_is_missing(node: ServedNode, tmp_path: Path) -> None:
    made = node.command("backup", "--no-images", "--out", str(tmp_path / "small.tar"), "--json")
    assert made.returncode == 0, made.stderr
    with tarfile.open(tmp_path / "small.tar") as archive:
        names = archive.getnames()
    assert {"backup.json", "database", "config.toml", "data/spool/.dicomnode-spool"} <= {*names}
    assert [name for name in names if name.startswith("data/spool/") and name.endswith(".dcm")] == []
    new = replace(node, folder=tmp_path / "new", process=None)
    new.write_config()
    done = json.loads(new.command("restore", str(tmp_path / "small.tar"), "--json").stdout)
    assert (done["missing"] >= 24, done["missing"] % 24) == (True, 0)


def test_what_is_no_backup_or_would_overwrite_a_node_is_refused_by_code(node: ServedNode, tmp_path: Path) -> None:
    (tmp_path / "other.tar").write_text("no tar file")
    refused = node.command("restore", str(tmp_path / "other.tar"))
    assert (refused.returncode, refused.stderr.startswith("not_empty:")) == (1, True)
    new = replace(node, folder=tmp_path / "new", process=None)
    new.write_config()
    refused = new.command("restore", str(tmp_path / "other.tar"))
    assert (refused.returncode, refused.stderr.startswith("no_backup:")) == (1, True)
    assert not (new.folder / "data").exists()


def test_a_drained_node_sends_what_it_has_begun_and_ends_with_0(
    node: ServedNode, pacs: ReceivingPacs, tmp_path: Path
) -> None:
    before = len(pacs.instances)
    send_study(node, tmp_path, named_study("drained"))
    wait_until(lambda: node.states()[0] in ("running", "delivering", *OVER), PATIENCE_S)
    assert node.process is not None
    drained = node.command("drain", "--timeout-s", "110")
    assert (drained.returncode, drained.stdout.splitlines()[-1]) == (0, "drained"), drained.stderr
    assert node.process.wait(10) == 0
    assert len(pacs.instances) - before == 4
    again = node.command("drain")
    assert (again.returncode, "no node runs" in again.stderr) == (1, True)
    node.start()


def test_a_node_that_is_not_done_in_time_is_stopped_and_says_so(node: ServedNode, tmp_path: Path) -> None:
    node.command("jobs", "pause")
    assert node.process is not None
    with ScriptedPeer(node.port, called=node.ae_title) as peer:
        peer.associate()
        drained = node.command("drain", "--timeout-s", "1")
        assert (drained.returncode, "time is over" in drained.stdout) == (1, True)
        assert node.process.wait(30) == 0
    node.command("jobs", "resume")
    node.start()


def refused_by(folder: Path, **attributes: object) -> ExportRefusal:
    """Why a slice with some attributes does not leave."""
    (path,) = write_series(folder, ct_series([0.0], matrix=8, PatientName="Mustermann^Max", **attributes))
    cleaner = Cleaner(Deidentifier(Pseudonyms(b"key"), "P-1", None))
    cleaner.learn(path)
    with pytest.raises(ExportRefused) as refused:
        cleaner.cleaned(path, is_source=True)
    return refused.value.refusal


def test_an_image_with_text_burned_in_does_not_leave(tmp_path: Path) -> None:
    assert refused_by(tmp_path, BurnedInAnnotation="YES") is ExportRefusal.BURNED_IN


def test_a_name_in_an_attribute_that_the_profile_keeps_does_not_leave(tmp_path: Path) -> None:
    study = ct_series([0.0], matrix=8, PatientName="Mustermann^Max", ConvolutionKernel="H30s for Mustermann")
    (path,) = write_series(tmp_path, study)
    cleaner = Cleaner(Deidentifier(Pseudonyms(b"key"), "P-1", None))
    cleaner.learn(path)
    assert b"Mustermann" not in cleaner.cleaned(path, is_source=True)


def test_an_image_whose_pixels_spell_the_patient_does_not_leave(tmp_path: Path) -> None:
    pixels = b"of MUSTERMANN".ljust(128, b"\0")
    assert refused_by(tmp_path, PixelData=pixels) is ExportRefusal.STILL_NAMED


def test_a_file_that_cannot_be_read_does_not_leave(tmp_path: Path) -> None:
    (tmp_path / "broken.dcm").write_bytes(b"no DICOM")
    with pytest.raises(ExportRefused) as refused:
        Cleaner(Deidentifier(Pseudonyms(b"key"), "P-1", None)).learn(tmp_path / "broken.dcm")
    assert refused.value.refusal is ExportRefusal.UNREADABLE

"""The supervisor as an admin sees it: light, patient with a PACS that is down, and clean at SIGTERM."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pydicom
import pytest

from dicomnode.app.demo_pacs import ReceivingPacs
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import small_study, storescu
from tests.acceptance.served import ServedNode
from tests.tools.bundle import write_threshold_bundle
from tests.tools.series import write_series

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]

IDLE_LIMIT_MB = 250
RESULT_S = 90.0


def node_for(tmp_path: Path, pacs_port: int) -> ServedNode:
    """A node with the quick bundle and one destination."""
    destination = {
        "name": "pacs",
        "ae_title": "PACS",
        "host": "127.0.0.1",
        "port": pacs_port,
        "accept_research": True,
        "retry_min_s": 0.5,
        "retry_max_s": 2.0,
    }
    bundle = write_threshold_bundle(tmp_path / "bundle")
    return ServedNode(tmp_path / "node", free_port(), [destination], models=("threshold",), zoo_paths=(bundle,))


def wait_for(condition: object, seconds: float = RESULT_S) -> None:
    """Poll until the callable says True."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_the_receiving_process_idles_below_250_mb_and_maps_no_torch(tmp_path: Path) -> None:
    node = node_for(tmp_path, free_port())
    node.start()
    assert node.process is not None
    process = psutil.Process(node.process.pid)
    time.sleep(2.0)
    assert process.memory_info().rss / 1e6 < IDLE_LIMIT_MB
    mapped = {Path(item.path).name for item in process.memory_maps() if item.path}
    assert not [name for name in mapped if name.startswith(("libtorch", "libc10"))]
    assert node.stop() == 0


def test_a_pacs_that_was_down_gets_everything_once_also_when_the_node_died_meanwhile(tmp_path: Path) -> None:
    pacs = ReceivingPacs(tmp_path / "pacs", "PACS", port=free_port())
    node = node_for(tmp_path, pacs.port)
    node.start()
    assert storescu(write_series(tmp_path / "study", small_study("down")), node.port)
    wait_for(lambda: [job["status"] for job in node.jobs()] == ["delivering"])
    node.kill()
    node.start()
    time.sleep(2.0)
    with pacs:
        wait_for(lambda: [job["status"] for job in node.jobs()] == ["done"])
        received = sorted(item.sop_instance_uid for item in pacs.instances)
    assert len(received) == 4
    assert len(set(received)) == 4
    assert node.stop() == 0


def test_results_that_come_back_are_never_processed(tmp_path: Path) -> None:
    with ReceivingPacs(tmp_path / "pacs", "PACS") as pacs:
        node = node_for(tmp_path, pacs.port)
        node.start()
        assert storescu(write_series(tmp_path / "study", small_study("loop")), node.port)
        wait_for(lambda: [job["status"] for job in node.jobs()] == ["done"])
        assert storescu([item.path for item in pacs.instances], node.port)
        time.sleep(3.0)
        assert len(node.jobs()) == 1
        assert "own_result" in node.command("jobs", "list").stdout
        assert node.stop() == 0


def test_no_patient_attribute_reaches_the_log_or_a_file_name(tmp_path: Path) -> None:
    identity = {
        "PatientName": "Zyxwvut^Quincy",
        "PatientID": "PID987654",
        "PatientBirthDate": "19340721",
        "OtherPatientIDs": "OTHER456",
        "PatientAddress": "Elm Street",
        "ReferringPhysicianName": "Referrer^Doctor",
    }
    study = small_study("private")
    for ds in study:
        for keyword, value in identity.items():
            setattr(ds, keyword, value)
    with ReceivingPacs(tmp_path / "pacs", "PACS") as pacs:
        node = node_for(tmp_path, pacs.port)
        node.start()
        assert storescu(write_series(tmp_path / "study", study), node.port)
        wait_for(lambda: [job["status"] for job in node.jobs()] == ["done"])
        assert str(read_name(pacs)) == identity["PatientName"]
        assert node.stop() == 0
    text = node.log.read_text() + "\n".join(str(path) for path in (tmp_path / "node").rglob("*"))
    for word in ("Zyxwvut", "Quincy", "PID987654", "19340721", "OTHER456", "Elm Street", "Referrer"):
        assert word.lower() not in text.lower()


def read_name(pacs: ReceivingPacs) -> object:
    """PatientName of a result that arrived."""
    return pydicom.dcmread(pacs.instances[0].path, stop_before_pixels=True).PatientName

"""The supervisor as an admin sees it: light, patient with a PACS that is down, and clean at SIGTERM."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomnode.app.demo_pacs import ReceivingPacs
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import dcmsend, small_study, storescu
from tests.acceptance.served import ServedNode
from tests.tools.bundle import write_threshold_bundle
from tests.tools.series import write_series

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]

IDLE_LIMIT_MB = 250
RESULT_S = 90.0


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingPacs]:
    """Receives the results of the node that lives."""
    with ReceivingPacs(tmp_path_factory.mktemp("pacs"), "PACS") as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: ReceivingPacs) -> Iterator[ServedNode]:
    """One node for all tests that kill nothing; stopped by SIGTERM at the end."""
    served = node_for(tmp_path_factory.mktemp("served"), pacs.port)
    served.start()
    yield served
    assert served.stop() == 0


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
    return ServedNode(
        tmp_path / "node",
        free_port(),
        [destination],
        reception={"selection_wait_s": 0.5},
        models=("threshold",),
        zoo_paths=(bundle,),
    )


def wait_for(condition: object, seconds: float = RESULT_S) -> None:
    """Poll until the callable says True."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_the_receiving_process_idles_below_250_mb_and_maps_no_torch(node: ServedNode) -> None:
    assert node.process is not None
    process = psutil.Process(node.process.pid)
    time.sleep(2.0)
    assert process.memory_info().rss / 1e6 < IDLE_LIMIT_MB
    mapped = {Path(item.path).name for item in process.memory_maps() if item.path}
    assert not [name for name in mapped if name.startswith(("libtorch", "libc10"))]


@pytest.mark.full
def test_a_pacs_that_was_down_gets_everything_once_also_when_the_node_died_meanwhile(tmp_path: Path) -> None:
    pacs = ReceivingPacs(tmp_path / "pacs", "PACS", port=free_port())
    node = node_for(tmp_path, pacs.port)
    node.start()
    assert storescu(write_series(tmp_path / "study", small_study("down")), node.port)
    wait_for(lambda: node.states() == ["delivering"])
    node.kill()
    node.start()
    time.sleep(2.0)
    with pacs:
        wait_for(lambda: node.states() == ["done"])
        assert [job["status"] for job in node.jobs()] == ["done"]
        received = sorted(item.sop_instance_uid for item in pacs.instances)
    assert len(received) == 4
    assert len(set(received)) == 4
    assert node.stop() == 0


def test_results_that_come_back_are_never_processed(node: ServedNode, pacs: ReceivingPacs, tmp_path: Path) -> None:
    push(node, small_study("loop"), tmp_path)
    jobs = node.jobs()
    assert dcmsend([item.path for item in pacs.instances], node.port)
    time.sleep(3.0)
    assert node.jobs() == jobs
    assert "own_result" in node.command("jobs", "list").stdout


def push(node: ServedNode, study: list[Dataset], folder: Path) -> None:
    """Send a study, and wait until its results are in the PACS."""
    assert storescu(write_series(folder / "study", study), node.port)
    wait_for(lambda: node.states(str(study[0].StudyInstanceUID)) == ["done"])


def test_no_patient_attribute_reaches_the_log_or_a_file_name(
    node: ServedNode, pacs: ReceivingPacs, tmp_path: Path
) -> None:
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
    push(node, study, tmp_path)
    assert identity["PatientName"] in names_in(pacs)
    assert node.stop() == 0  # the last test: what is said while stopping counts, too
    text = node.log.read_text() + "\n".join(str(path) for path in node.folder.rglob("*"))
    for word in ("Zyxwvut", "Quincy", "PID987654", "19340721", "OTHER456", "Elm Street", "Referrer"):
        assert word.lower() not in text.lower()


def names_in(pacs: ReceivingPacs) -> set[str]:
    """PatientName of the results that arrived."""
    return {str(pydicom.dcmread(item.path, stop_before_pixels=True).PatientName) for item in pacs.instances}

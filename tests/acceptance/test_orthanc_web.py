"""DICOMweb with a real PACS: Orthanc takes results by STOW-RS and shows them by QIDO-RS, over HTTPS."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicomnode.config.destinations import WebDestination
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.route import WebRoute
from dicomnode.dicom.statuses import SUCCESS
from dicomnode.errors import DestinationUnavailable, StoreRefused
from dicomnode.store.engine import Store
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import DICOMWEB, Orthanc, free_port
from tests.acceptance.scanner import small_study, storescu
from tests.acceptance.served import ServedNode
from tests.integration.deliver.world import World, until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.certificates import Authority
from tests.tools.series import write_series
from tests.tools.tls_front import TlsFront

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        not (orthanc_module.available() and DICOMWEB.exists()),
        reason="Orthanc with DICOMweb is not installed (tests/tools/debian_tools.sh installs it)",
    ),
]

SETTINGS: dict[str, Any] = {"Plugins": [str(DICOMWEB)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
USER, PASSWORD = "ai-node", "correct horse: battery"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """An Orthanc whose HTTP server lets in one user."""
    with Orthanc(tmp_path / "orthanc", settings=SETTINGS, user=USER, password=PASSWORD) as running:
        yield running


@pytest.fixture
def front(orthanc: Orthanc, authority: Authority) -> Iterator[TlsFront]:
    """HTTPS before it."""
    server = authority.sign("orthanc")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    with TlsFront(context, orthanc.http_port) as running:
        yield running


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield World(store, tmp_path / "data")
    store.close()


Keys = Callable[..., dict[str, Any]]


@pytest.fixture
def keys(front: TlsFront, authority: Authority, tmp_path: Path) -> Keys:
    """Makes a destination of Orthanc; what is given replaces keys."""
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD + "\n")
    own = {
        "name": "pacs",
        "url": f"https://127.0.0.1:{front.port}/dicom-web",
        "auth": {"scheme": "basic", "user": USER, "secret_file": str(secret)},
        "tls": {"ca": str(authority.ca)},
    }
    return lambda **more: own | more


def test_results_are_stored_and_proven_over_https_with_a_password(
    world: World, orthanc: Orthanc, keys: Keys, tmp_path: Path
) -> None:
    job_id, results = world.deliver("seg", "sr", "sc", payload=400_000)
    destination = WebDestination(**keys())
    world.sender(destination).step()
    assert world.job(job_id).status == "done"
    assert {row.proven_by for row in world.rows(job_id)} == {"query"}
    for result in results:
        wanted = {"Level": "Instance", "Query": {"SOPInstanceUID": result.sop_instance_uid}}
        (found,) = orthanc.post("/tools/find", wanted)
        assert orthanc.file(found) == (world.data_dir / result.path).read_bytes()


def test_what_orthanc_lost_is_sent_again(world: World, orthanc: Orthanc, keys: Keys) -> None:
    job_id, results = world.deliver("sr", "sc")
    quick = keys(proof_wait_s=0.1, retry_min_s=0.1)
    blind = WebDestination(**quick, query_url=f"http://127.0.0.1:{free_port()}", identity="trust")
    world.sender(blind).step()
    assert world.statuses(job_id) == ["sent", "sent"]
    lost = {"Level": "Instance", "Query": {"SOPInstanceUID": results[0].sop_instance_uid}}
    orthanc.delete(f"/instances/{orthanc.post('/tools/find', lost)[0]}")
    sender = world.sender(WebDestination(**quick))
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=30.0)
    assert [row.losses for row in world.rows(job_id)] == [1, 0]
    assert len(orthanc.post("/tools/find", lost)) == 1


def test_a_wrong_password_is_said(keys: Keys, tmp_path: Path) -> None:
    WebRoute(WebDestination(**keys())).ask()
    (tmp_path / "password").write_text("wrong")
    with pytest.raises(DestinationUnavailable, match="does not accept the credentials"):
        WebRoute(WebDestination(**keys())).ask()


def test_an_instance_that_orthanc_cannot_file_is_refused_alone(
    world: World, orthanc: Orthanc, keys: Keys, tmp_path: Path
) -> None:
    _, (first, second) = world.deliver("seg", "sr")
    ds = pydicom.dcmread(world.data_dir / first.path)
    del ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID
    ds.save_as(tmp_path / "nameless.dcm")
    files = [Outgoing.from_file(path) for path in (tmp_path / "nameless.dcm", world.data_dir / second.path)]
    with WebRoute(WebDestination(**keys())).link(files) as link:
        with pytest.raises(StoreRefused, match="STOW-RS was answered with"):
            link.store(files[0])
        assert link.store(files[1]) == SUCCESS


@pytest.mark.timeout(600)
def test_a_head_pushed_by_a_scanner_comes_back_by_stow_and_check_is_content(
    orthanc: Orthanc, keys: Keys, tmp_path: Path
) -> None:
    destination = keys(accept_research=True)
    bundle = write_threshold_bundle(tmp_path / "bundle")
    node = ServedNode(
        tmp_path / "node",
        free_port(),
        [destination],
        reception={"selection_wait_s": 0.5},
        models=("threshold",),
        zoo_paths=(bundle,),
    )
    node.write_config()
    checked = node.command("check", "--no-models")
    assert checked.returncode == 0, checked.stdout
    assert "answers QIDO-RS: its results can be proven" in " ".join(checked.stdout.split())
    node.start()
    try:
        study = small_study("web")
        assert storescu(write_series(tmp_path / "study", study), node.port)
        until(lambda: node.states() == ["done"], within_s=120.0)
        assert [job["status"] for job in node.jobs()] == ["done"]
    finally:
        assert node.stop() == 0
    kinds = {item["Modality"] for item in orthanc.instances(str(study[0].StudyInstanceUID))}
    assert {"SEG", "SR", "OT"} <= kinds
    assert PASSWORD not in node.log.read_text()

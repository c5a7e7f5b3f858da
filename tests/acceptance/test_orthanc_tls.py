"""DICOM TLS with a real PACS, both ways: Orthanc pushes a head to the node, gets the results, and commits to them."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomnode.config.destinations import Destination
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import echo, send
from dicomnode.errors import AssociationRejected
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.orthanc import Orthanc, free_port
from tests.acceptance.scanner import small_study
from tests.acceptance.served import ServedNode
from tests.integration.deliver.world import until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.certificates import Authority
from tests.tools.series import write_series

pytestmark = [
    pytest.mark.tools,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not orthanc_module.available(), reason="Orthanc is not installed (tests/tools/debian_tools.sh installs it)"
    ),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def node_port() -> int:
    return free_port()


@pytest.fixture
def orthanc(tmp_path: Path, authority: Authority, node_port: int) -> Iterator[Orthanc]:
    """An Orthanc that speaks TLS only, lets in who has a certificate, and knows the node by TLS and in the clear."""
    own = authority.sign("orthanc")
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(own.cert),
        "DicomTlsPrivateKey": str(own.key),
        "DicomTlsTrustedCertificates": str(authority.ca),
        "DicomTlsRemoteCertificateRequired": True,
    }
    node = {"AET": "AINODE", "Host": "127.0.0.1", "Port": node_port, "UseDicomTls": True}
    # Another AE title: by that Orthanc finds the peer that it reports a commitment to.
    peers = {"node": node, "in-the-clear": node | {"AET": "CLEAR", "UseDicomTls": False, "Timeout": 5}}
    with Orthanc(tmp_path / "orthanc", settings=settings, peers=peers) as running:
        yield running


def tls_of(authority: Authority, name: str) -> dict[str, Any]:
    """What a client of Orthanc needs."""
    own = authority.sign(name)
    return {"enabled": True, "ca": str(authority.ca), "cert": str(own.cert), "key": str(own.key)}


def destination(orthanc: Orthanc, tls: dict[str, Any]) -> dict[str, Any]:
    """Orthanc as a destination."""
    return {
        "name": "pacs",
        "ae_title": orthanc.ae_title,
        "host": "127.0.0.1",
        "port": orthanc.dicom_port,
        "tls": tls,
    }


@pytest.fixture
def node(tmp_path: Path, orthanc: Orthanc, authority: Authority, node_port: int) -> Iterator[ServedNode]:
    """A node that speaks TLS only, too."""
    own = authority.sign("node")
    served = ServedNode(
        tmp_path / "node",
        node_port,
        [destination(orthanc, tls_of(authority, "sender")) | {"accept_research": True, "proof": "commitment"}],
        reception={
            "selection_wait_s": 0.5,
            "tls": {"cert": str(own.cert), "key": str(own.key), "ca": str(authority.ca)},
        },
        models=("threshold",),
        zoo_paths=(write_threshold_bundle(tmp_path / "bundle"),),
    )
    served.start()
    yield served
    assert served.stop() == 0


def test_a_head_comes_over_tls_and_its_results_go_back_over_tls_and_are_committed(
    tmp_path: Path, node: ServedNode, orthanc: Orthanc, authority: Authority
) -> None:
    study = small_study("tls")
    files = [Outgoing.from_file(path) for path in write_series(tmp_path / "study", study)]
    scanner = Destination(**destination(orthanc, tls_of(authority, "scanner")))
    assert [outcome.status for outcome in send(files, scanner, "CT1")] == [0] * len(files)
    with pytest.raises(urllib.error.HTTPError):
        orthanc.post("/modalities/in-the-clear/store", {"Resources": orthanc.get("/studies")})
    assert node.jobs() == []
    orthanc.post("/modalities/node/store", {"Resources": orthanc.get("/studies")})
    until(lambda: node.states() == ["done"], within_s=120.0)
    assert [job["status"] for job in node.jobs()] == ["done"]
    kinds = {item["Modality"] for item in orthanc.instances(str(study[0].StudyInstanceUID))}
    assert {"CT", "SEG", "SR", "OT"} <= kinds
    job = json.loads(node.command("jobs", "show", "1", "--json").stdout)
    assert {delivery["proven_by"] for delivery in job["deliveries"]} == {"commitment"}


def test_without_a_certificate_orthanc_lets_nobody_in(orthanc: Orthanc, authority: Authority) -> None:
    nobody = Destination(**destination(orthanc, {"enabled": True, "ca": str(authority.ca)}))
    with pytest.raises(AssociationRejected, match="does it want a client certificate"):
        echo(nobody, "NODE")
    echo(Destination(**destination(orthanc, tls_of(authority, "somebody"))), "NODE")

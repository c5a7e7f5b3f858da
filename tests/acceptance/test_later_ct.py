"""A forecast was made, the CT that came is in the PACS alone: it is fetched and held against it; nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from dicomnode.cohort.make import make_thrombectomy_study
from tests.acceptance.orthanc import DICOMWEB, Orthanc, available, free_port
from tests.acceptance.scanner import storescu
from tests.acceptance.served import ServedNode
from tests.acceptance.test_deterioration import done
from tests.acceptance.test_tiny_bundles import until

pytestmark = [pytest.mark.tools, pytest.mark.full, pytest.mark.timeout(1200)]

OTHERS = """
[priors]
destination = "pacs"
protocol = "other-ct"
followups = true

[[protocol]]
name = "other-ct"
match = { Modality = "^CT$" }
models = ["hemorrhage"]
shadow = true
"""
PATIENCE_S = 600.0


@pytest.fixture(params=["dimse", "dicomweb"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ServedNode, Orthanc]]:
    """A node and the PACS that it sends to and asks, by either way."""
    is_web = request.param == "dicomweb"
    if not available() or (is_web and not DICOMWEB.exists()):
        pytest.skip("Orthanc or its DICOMweb plug-in is not installed (tests/tools/debian_tools.sh installs them)")
    port = free_port()
    settings = {"Plugins": [str(DICOMWEB)]} if is_web else {}
    with Orthanc(tmp_path / "orthanc", peers={} if is_web else {"node": ("AINODE", port)}, settings=settings) as pacs:
        dimse = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
        way = {"url": f"{pacs.url}/dicom-web"} if is_web else dimse
        node = ServedNode(
            tmp_path / "node",
            port,
            [{"name": "pacs", **way, "accept_research": True, "results": ["scores", "predicted"]}],
            reception={"settle_s": 0.2, "quiet_period_s": 2.0, "selection_wait_s": 0.0},
            execution={"start_timeout_s": PATIENCE_S, "run_timeout_s": PATIENCE_S},
            models=("hemorrhage", "followup"),
            protocol="post-thrombectomy",
        )
        node.write_config()
        with node.config.open("a") as file:
            file.write(OTHERS)
        with node:
            node.start()
            yield node, pacs
            assert node.stop() == 0


def test_a_later_ct_that_nobody_sent_is_fetched_and_held_against_the_forecast(
    world: tuple[ServedNode, Orthanc], tmp_path: Path
) -> None:
    node, pacs = world
    study = make_thrombectomy_study(tmp_path / "study")  # of last year: its follow-up is long over
    first_uid, later_uid = (
        str(pydicom.dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID) for paths in (study.paths, study.later)
    )
    assert storescu([*study.later], pacs.dicom_port, called_ae="ORTHANC")
    assert storescu(study.paths, node.port)
    results = done(node, pacs, first_uid)
    until(lambda: node.states(later_uid) == ["done"], within_s=PATIENCE_S)
    told = json.loads(node.command("outcomes", "--json").stdout)
    (forecast,) = told["forecasts"]
    assert (forecast["study_uid"], forecast["later_study_uid"]) == (first_uid, later_uid)
    assert forecast["came"] is True  # 37 mL are painted a day later
    assert len(results) == len(pacs.instances(first_uid)) == 2
    assert {ds["Modality"] for ds in pacs.instances(later_uid)} == {"CT"}
    assert "fetched" in node.command("why", first_uid).stdout

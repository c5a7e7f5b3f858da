"""A forecast was made, the CT that came is in the PACS alone: it is fetched and held against it; nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.orthanc import Orthanc
from tests.acceptance.scanner import storescu
from tests.acceptance.served import ServedNode
from tests.acceptance.test_priors import asking_node, scan
from tests.acceptance.test_tiny_bundles import until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.foreign_bundle import change_json
from tests.tools.series import write_series
from tests.tools.tiny_bundles import write_age_risk

pytestmark = [pytest.mark.tools, pytest.mark.timeout(400)]

OTHERS = """
[priors]
destination = "pacs"
protocol = "other-ct"
followups = true

[[protocol]]
name = "other-ct"
match = { Modality = "^CT$" }
models = ["threshold"]
shadow = true
"""


def forecasting_bundle(folder: Path) -> Path:
    """A score of age that says what a CT a day later shows."""
    written = write_age_risk(folder)
    metadata = written / "configs" / "metadata.json"
    section = json.loads(metadata.read_text())["dicomnode"]
    section["gives"][0]["foretells"] = {"finding": "hemorrhage", "at_h": 24, "until_h": 72}
    change_json(metadata, dicomnode=section)
    return written


@pytest.fixture(params=["dimse", "dicomweb"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ServedNode, Orthanc]]:
    bundles = {"threshold": write_threshold_bundle, "age_risk": forecasting_bundle}
    with asking_node(tmp_path, is_web=request.param == "dicomweb", others=OTHERS, bundles=bundles) as found:
        yield found


def test_a_later_ct_that_nobody_sent_is_fetched_and_held_against_the_forecast(
    world: tuple[ServedNode, Orthanc], tmp_path: Path
) -> None:
    node, pacs = world
    first = scan(10.0, "080000")  # of a day that is long over
    day, later_day = {"StudyDate": "20260311", "AcquisitionDate": "20260311"}, "20260312"
    came, late = scan(15.0, "090000", **day), scan(8.0, "200000", StudyDate=later_day, AcquisitionDate=later_day)
    stranger = scan(12.0, "080000", PatientBirthDate="19800101", **day)  # nearer to the hour, under the same ID
    for images in (came, late, stranger):
        folder = tmp_path / str(images[0].StudyInstanceUID)
        assert storescu(write_series(folder, images), pacs.dicom_port, called_ae="ORTHANC")
    assert storescu(write_series(tmp_path / "first", first), node.port)
    first_uid, came_uid, late_uid, other_uid = (str(one[0].StudyInstanceUID) for one in (first, came, late, stranger))
    until(lambda: node.states(came_uid) == ["done"])
    (forecast,) = json.loads(node.command("outcomes", "--json").stdout)["forecasts"]
    assert (forecast["study_uid"], forecast["later_study_uid"]) == (first_uid, came_uid)
    assert (forecast["came"], forecast["hours"]) == (True, 25.0)
    assert (node.states(late_uid), node.states(other_uid)) == ([], [])
    assert {ds["Modality"] for ds in pacs.instances(came_uid)} == {"CT"}
    told = node.command("why", first_uid).stdout
    assert "later_search" in told
    assert "birth_date" in told

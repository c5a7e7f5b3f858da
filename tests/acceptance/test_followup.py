"""The scan to come for real: after thrombectomy the PACS gets the forecast, and a day later the next CT comes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomnode.app.demo_hl7 import LOCAL_CODES, demo_messages, tell
from dicomnode.app.pictures import hu_of_predicted
from dicomnode.cohort.make import DemoStudy, make_demo_study, make_thrombectomy_study
from dicomnode.dicom import codes
from dicomnode.images.volume import read_volume
from dicomnode.kinds import MULTI_FRAME_WORD_SC, PARAMETRIC_MAP
from dicomnode.zoo.followup.grid import brain_of
from tests.acceptance.hl7_node import node_with_hl7
from tests.acceptance.orthanc import Orthanc
from tests.acceptance.scanner import storescu
from tests.acceptance.served import ServedNode
from tests.acceptance.test_deterioration import done
from tests.acceptance.test_tiny_bundles import coded, group_of, numbers, scores_report
from tests.integration.encode.test_validate import DEBIAN_TOOLS, judged
from tests.tools.hl7_messages import Hl7Peer, message, obr, obx, pid
from tests.tools.series import write_series

pytestmark = [pytest.mark.tools, pytest.mark.full, pytest.mark.timeout(400)]

LABEL = "Blood on the follow-up CT"
KINDS = ["seg", "sr", "scores", "text", "sc", "predicted", "probability", "rejection"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Iterator[ServedNode]:
    folder = tmp_path_factory.mktemp("node")
    hl7 = {"codes": LOCAL_CODES, "charset": "UNICODE UTF-8"}
    with node_with_hl7(folder, pacs, ("hemorrhage", "followup"), hl7, results=KINDS) as served:
        yield served


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> DemoStudy:
    return make_thrombectomy_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def results(node: ServedNode, pacs: Orthanc, study: DemoStudy) -> list[Dataset]:
    """What the PACS received of the first scan."""
    header = pydicom.dcmread(study.paths[0], stop_before_pixels=True)
    tell(demo_messages(header, thrombectomy=True), node.clinical["hl7"]["port"])
    assert storescu(study.paths, node.port)
    return done(node, pacs, str(header.StudyInstanceUID))


def of_class(results: list[Dataset], uid: str) -> list[Dataset]:
    return [ds for ds in results if ds.SOPClassUID == uid]


def test_the_predicted_scan_differs_from_the_source_within_the_brain_alone(
    results: list[Dataset], study: DemoStudy
) -> None:
    volume = read_volume(study.paths)
    (predicted,) = of_class(results, MULTI_FRAME_WORD_SC)
    change = hu_of_predicted(predicted, volume) - np.rint(volume.hu)
    banner = max(12, volume.hu.shape[1] // 20)
    seen = change[:, banner:-banner]
    brain = brain_of(volume)[:, banner:-banner]
    assert not seen[~brain].any()
    drawn = seen > 1000.0  # outlines
    assert 0.3 < float(np.abs(seen[brain & ~drawn]).mean()) < 15.0
    assert predicted.FrameOfReferenceUID != study_frame(study)


def study_frame(study: DemoStudy) -> str:
    return str(pydicom.dcmread(study.paths[0], stop_before_pixels=True).FrameOfReferenceUID)


def test_the_chance_of_blood_stands_in_the_report_of_scores_and_its_map_beside_it(
    results: list[Dataset], tmp_path: Path
) -> None:
    # What is dense in the scan after the thrombectomy is painted as staining: none of it is marked as blood.
    assert [ds for ds in results if ds.Modality == "SEG"] == []
    group = group_of(scores_report(results), LABEL)
    value, threshold = numbers(group)[:2]
    assert 0.0 < value < 1.0
    assert coded(group, codes.RISK_CATEGORY) == ("15508007" if value >= threshold else "75976002")
    said = [str(pm.ContentDescription) for pm in of_class(results, PARAMETRIC_MAP)]
    assert "Predicted probability of haemorrhage, 24 h after this scan" in said
    if all(shutil.which(tool) for tool in DEBIAN_TOOLS):
        files = []
        for place, ds in enumerate(results):
            files.append(tmp_path / f"judged-{place}.dcm")
            ds.save_as(files[-1])
        verdict = judged(files, fast=True)
        assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_when_the_next_ct_comes_the_forecast_is_held_against_it(
    node: ServedNode, pacs: Orthanc, study: DemoStudy, results: list[Dataset]
) -> None:
    foretold = numbers(group_of(scores_report(results), LABEL))[0]
    assert storescu(study.later, node.port)
    came = done(node, pacs, str(pydicom.dcmread(study.later[0], stop_before_pixels=True).StudyInstanceUID))
    (seg,) = (ds for ds in came if ds.Modality == "SEG")
    assert str(seg.SegmentSequence[0].SegmentLabel) == "Intracranial haemorrhage or contrast medium"
    told = json.loads(node.command("outcomes", "--json").stdout)
    (forecast,) = told["forecasts"]
    assert forecast["probability"] == pytest.approx(foretold, abs=0.005)
    assert forecast["came"] is True  # 37 mL are painted a day later
    assert 24.0 < forecast["hours"] < 32.0
    assert told["growth"] == []  # a bleed that was not there has not grown


def test_without_a_thrombectomy_nothing_is_foretold(node: ServedNode, pacs: Orthanc, tmp_path: Path) -> None:
    with Hl7Peer(node.clinical["hl7"]["port"]) as peer:
        none = obx("EVT^Thrombectomy^L", "no", kind="ST")
        assert peer.send(message(pid("JULIA", born="19430601"), obr(), none, control_id="JULIA1")).code == "AA"
    images = [pydicom.dcmread(path) for path in make_demo_study(tmp_path / "made").paths]
    for ds in images:
        ds.PatientID, ds.IssuerOfPatientID, ds.PatientName = "JULIA", "HOSPITAL", "JULIA"
        ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19430601", "F", "082Y"
        ds.AcquisitionDate, ds.AcquisitionTime = "20260101", "101500"
    assert storescu(write_series(tmp_path, images), node.port)
    without = done(node, pacs, str(images[0].StudyInstanceUID))
    assert not of_class(without, MULTI_FRAME_WORD_SC)
    group = group_of(scores_report(without), LABEL)
    assert numbers(group) == []
    assert coded(group, codes.WHY_NOT_APPLICABLE) == "POPULATION"

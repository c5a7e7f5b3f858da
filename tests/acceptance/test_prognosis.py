"""The outcome after a bleed for real: HL7 tells variables, a CT with a bleed comes, the PACS gets a score."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from dicomnode.app.demo_hl7 import LOCAL_CODES, demo_messages, tell
from dicomnode.cohort.make import make_demo_study
from dicomnode.dicom import codes
from tests.acceptance.hl7_node import node_with_hl7
from tests.acceptance.orthanc import Orthanc
from tests.acceptance.reading import contents
from tests.acceptance.scanner import storescu
from tests.acceptance.served import ServedNode
from tests.acceptance.test_deterioration import done
from tests.acceptance.test_tiny_bundles import coded, group_of, numbers, scores_report, texts
from tests.integration.encode.test_validate import DEBIAN_TOOLS, judged

pytestmark = [pytest.mark.tools, pytest.mark.full, pytest.mark.timeout(300)]

LABEL = "Poor outcome at 90 days"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Iterator[ServedNode]:
    folder = tmp_path_factory.mktemp("node")
    with node_with_hl7(
        folder, pacs, ("hemorrhage", "prognosis"), {"codes": LOCAL_CODES, "charset": "UNICODE UTF-8"}
    ) as served:
        yield served


def test_a_bleed_and_variables_by_hl7_become_a_probability_of_a_poor_outcome_in_the_pacs(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    study = make_demo_study(tmp_path / "study")
    header = pydicom.dcmread(study.paths[0], stop_before_pixels=True)
    tell(demo_messages(header), node.clinical["hl7"]["port"])
    assert storescu(study.paths, node.port)
    results = done(node, pacs, str(header.StudyInstanceUID))
    scores = scores_report(results)
    group = group_of(scores, LABEL)
    value, low, high, threshold = numbers(group)[:4]
    assert 0.0 <= low <= value <= high <= 1.0
    assert coded(group, codes.RISK_CATEGORY) == ("POOR_OUTCOME" if value >= threshold else "GOOD_OUTCOME")
    said = " ".join(str(item.TextValue) for item in contents(scores) if "TextValue" in item)
    assert "counted the good outcome as positive" in said
    assert "ICH Score" in said
    assert "30-day mortality" in said
    assert any(line.startswith("Glasgow Coma Scale 10") and "HL7" in line for line in texts(group, codes.INPUT_USED))
    if all(shutil.which(tool) for tool in DEBIAN_TOOLS):
        files = []
        for place, ds in enumerate(one for one in results if one.Modality == "SR"):
            files.append(tmp_path / f"judged-{place}.dcm")
            ds.save_as(files[-1])
        verdict = judged(files, fast=False)
        assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr

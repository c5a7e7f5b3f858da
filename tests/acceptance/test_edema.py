"""Brain oedema for real: HL7 tells variables, a CT comes, the PACS gets score, measures and overview."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode.dicom import codes
from tests.acceptance.hl7_node import node_with_hl7
from tests.acceptance.orthanc import Orthanc
from tests.acceptance.reading import contents
from tests.acceptance.served import ServedNode
from tests.acceptance.test_deterioration import FIRST, LOCAL, TOLD, done, sent, told_by_hl7
from tests.acceptance.test_tiny_bundles import coded, group_of, numbers, scores_report, texts
from tests.integration.encode.test_validate import DEBIAN_TOOLS, judged
from tests.tools.hl7_messages import Hl7Peer, message, obr, pid

pytestmark = [pytest.mark.tools, pytest.mark.full, pytest.mark.timeout(300)]

LABEL = "Brain oedema"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Iterator[ServedNode]:
    folder = tmp_path_factory.mktemp("node")
    with node_with_hl7(folder, pacs, ("edema",), {"codes": LOCAL}, issuer="HOSPITAL") as served:
        yield served


def test_variables_by_hl7_and_a_ct_become_a_score_with_measures_in_the_pacs(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    told_by_hl7(node, "HANNA", *FIRST, **{name: says for name, says in TOLD.items() if name not in ("MCA", "EVT")})
    results = done(node, pacs, sent(node, tmp_path, "HANNA"))
    scores = scores_report(results)
    group = group_of(scores, LABEL)
    value, threshold = numbers(group)[:2]
    assert 0.0 < value < 1.0
    assert coded(group, codes.RISK_CATEGORY) == ("52101004" if value >= threshold else "2667000")
    used = texts(group, codes.INPUT_USED)
    assert any(line.startswith("NIHSS 9") and "HL7" in line for line in used)
    missing = texts(group, codes.INPUT_MISSING)  # about half of the record was told
    assert {"D-dimer", "Haemoglobin", "Smoking"} <= set(missing)
    said = " ".join(str(item.TextValue) for item in contents(scores) if "TextValue" in item)
    assert "a dark rim about a lesion, or swollen dead brain" in said
    assert "NIHSS (attention " in said
    assert 0.0 <= numbers(group_of(scores, "Hypodense share of the cerebrum"))[0] <= 100.0
    assert "OT" in {ds.Modality for ds in results}  # the overview picture
    if all(shutil.which(tool) for tool in DEBIAN_TOOLS):
        files = []
        for place, ds in enumerate(one for one in results if one.Modality == "SR"):
            files.append(tmp_path / f"judged-{place}.dcm")
            ds.save_as(files[-1])
        verdict = judged(files, fast=False)
        assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_of_a_child_no_number_is_given(node: ServedNode, pacs: Orthanc, tmp_path: Path) -> None:
    with Hl7Peer(node.clinical["hl7"]["port"]) as peer:
        assert peer.send(message(pid("IDA", born="20150601"), obr(), control_id="IDA1")).code == "AA"
    group = group_of(scores_report(done(node, pacs, sent(node, tmp_path, "IDA", born="20150601"))), LABEL)
    assert numbers(group) == []
    assert coded(group, codes.APPLICABILITY) == codes.NOT_APPLICABLE.value
    assert coded(group, codes.WHY_NOT_APPLICABLE) == "POPULATION"

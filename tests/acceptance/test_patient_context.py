"""What is known of a patient beside the images, from a drop folder and by HL7 to the report of scores in the PACS."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicomnode.dicom import codes
from tests.acceptance.orthanc import Orthanc, free_port
from tests.acceptance.scanner import small_study, storescu
from tests.acceptance.served import ServedNode
from tests.acceptance.test_tiny_bundles import group_of, numbers, scores_report, texts, until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.hl7_messages import GCS, Hl7Peer, message, obr, obx, pid
from tests.tools.series import write_series

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]

BORN = "1943-06-01"
NIHSS = "72089-6^NIHSS^LN"


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drop folder; the node makes what it needs in it."""
    return tmp_path_factory.mktemp("drop")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc, drop: Path) -> Iterator[ServedNode]:
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
    served = ServedNode(
        tmp_path_factory.mktemp("node"),
        free_port(),
        [{**destination, "accept_research": True, "retry_min_s": 0.3, "retry_max_s": 2.0}],
        reception={"settle_s": 0.2, "quiet_period_s": 2.0, "selection_wait_s": 0.0},
        models=("threshold",),
        zoo_paths=(write_threshold_bundle(tmp_path_factory.mktemp("zoo") / "threshold").parent,),
        clinical={
            "drop_folder": str(drop),
            "drop_every_s": 0.2,
            "issuer": "HOSPITAL",
            "amend_settle_s": 1.0,
            "hl7": {"port": free_port(), "host": "127.0.0.1"},
        },
    )
    served.start()
    yield served
    assert served.stop() == 0


def document(drop: Path, name: str, patient: dict[str, str], *values: dict[str, Any]) -> None:
    """A document as a sender puts it there, and wait until the node has moved it."""
    path = drop / f"{name}.json"
    path.with_suffix(".part").write_text(json.dumps({"patient": patient, "values": list(values)}))
    os.utime(path.with_suffix(".part"), (time.time() - 5,) * 2)
    path.with_suffix(".part").rename(path)
    until(lambda: not path.exists())


def results(node: ServedNode, pacs: Orthanc, folder: Path, name: str) -> list[Dataset]:
    """Send a head of patient ``name``, born in 1943 and 82 years old; what the archive has of the study when done."""
    study = small_study(name)
    for ds in study:
        ds.PatientID, ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = name, "19430601", "F", "082Y"
        ds.AcquisitionDate, ds.AcquisitionTime = "20260101", "101500"
    assert storescu(write_series(folder, study), node.port)
    study_uid = str(study[0].StudyInstanceUID)
    until(lambda: node.states(study_uid) == ["done"])
    return [pydicom.dcmread(io.BytesIO(pacs.file(item["ID"]))) for item in pacs.instances(study_uid)]


def value(name: str, what: Any, at: str = "", unit: str = "") -> dict[str, Any]:
    return {"name": name, "value": what, "unit": unit, "observed_at": f"2026-01-01T{at}Z" if at else ""}


def test_the_scores_in_the_pacs_tell_their_inputs_with_sources_times_and_what_is_missing(
    node: ServedNode, pacs: Orthanc, drop: Path, tmp_path: Path
) -> None:
    anna = {"id": "ANNA", "birth_date": BORN, "sex": "F"}
    document(drop, "ward", anna, value("gcs", 14, "08:15"), value("ivh", "yes", "10:20"))
    document(drop, "later", anna, value("gcs", 10, "10:00"), value("bleed_location", "basal ganglia", "10:20"))
    document(drop, "wrong", {"id": "ANNA", "birth_date": "1950-01-01"}, value("nihss", 40, "10:10"))
    document(drop, "other", {"id": "BERT"}, value("nihss", 39, "10:10"))
    document(drop, "issuer", {"id": "ANNA", "issuer": "ELSEWHERE"}, value("nihss", 38, "10:10"))
    report = scores_report(results(node, pacs, tmp_path, "ANNA"))
    ich = group_of(report, "ICH Score")
    assert numbers(ich) == [3.0]  # GCS 10, blood in the ventricles, 82 years; below 30 mL and above the tentorium
    (said,) = texts(ich, codes.REFERENCE_SCORE)
    assert said.startswith("ICH Score: 3. 30-day mortality 72 %")
    used = texts(ich, codes.INPUT_USED)
    assert used[0] == "Glasgow Coma Scale 10 (file, 2026-01-01T10:00+00:00, 15 min before the scan)"
    assert used[1].startswith("Bleed, volume by ABC/2 ")
    assert used[3:] == [
        "Blood in the ventricles yes (file, 2026-01-01T10:20+00:00, 5 min after the scan)",
        "Location of the bleed basal ganglia (file, 2026-01-01T10:20+00:00, 5 min after the scan)",
        "Age 82 a (header, 2026-01-01)",
    ]
    max_ich = group_of(report, "max-ICH score")
    assert texts(max_ich, codes.INPUT_MISSING) == ["NIHSS", "Oral anticoagulation"]
    assert len(numbers(max_ich)) == 2  # the lowest and the highest: nobody told the NIHSS of this patient


def test_operators_see_what_is_known_and_why_a_value_is_not_used(node: ServedNode) -> None:
    (page,) = json.loads(node.command("context", "show", "ACC-ANNA", "--json").stdout)["patients"]
    verdicts = {(line["name"], line["value"]): line["verdict"] for line in page["known"]}
    assert verdicts == {
        ("gcs", "14"): "another is nearer",
        ("gcs", "10"): "used",
        ("ivh", "yes"): "used",
        ("bleed_location", "basal_ganglia"): "used",
        ("nihss", "40"): "another patient: birth_date contradict",
    }
    (told,) = [
        e for e in json.loads(node.command("why", "ACC-ANNA", "--json").stdout)["events"] if e["name"] == "context"
    ]
    assert told["detail"]["known"] == ["gcs (file)", "bleed_location (file)", "ivh (file)"]
    assert told["detail"]["contradict"] == {"birth_date": 1}


def test_what_is_known_under_an_id_that_was_merged_counts_for_the_survivor(
    node: ServedNode, pacs: Orthanc, drop: Path, tmp_path: Path
) -> None:
    document(drop, "emergency", {"id": "E17"}, value("gcs", 4, "10:00"))
    assert node.command("context", "merge", "E17", "DORA").returncode == 0
    report = scores_report(results(node, pacs, tmp_path, "DORA"))
    assert texts(group_of(report, "ICH Score"), codes.INPUT_USED)[0].startswith("Glasgow Coma Scale 4 (file")


def test_a_laboratory_tells_by_hl7_corrects_it_after_the_results_and_the_wrong_patient_never_enters(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    frida = pid("FRIDA", born="19430601")
    with Hl7Peer(node.clinical["hl7"]["port"]) as peer:
        for number, sent in enumerate(
            [
                message(frida, obr(), obx(GCS, "10"), control_id="F1"),
                message(pid("FRIDA", born="19500101"), obr(), obx(NIHSS, "40"), control_id="F2"),
                message(pid("FRIDA", authority="ELSEWHERE"), obr(), obx(NIHSS, "39"), control_id="F3"),
            ]
        ):
            assert peer.send(sent).code == "AA", number
        received = results(node, pacs, tmp_path, "FRIDA")
        ich = group_of(scores_report(received), "ICH Score")
        assert texts(ich, codes.INPUT_USED)[0].startswith(
            "Glasgow Coma Scale 10 (HL7, 2026-01-01T10:00+00:00, 15 min before"
        )
        assert not any(
            "NIHSS" in used for used in texts(group_of(scores_report(received), "max-ICH score"), codes.INPUT_USED)
        )
        corrected = message(frida, obr(), obx(GCS, "4", status="C"), control_id="F4", at="20260101103000")
        assert peer.send(corrected).code == "AA"
    study_uid = str(received[0].StudyInstanceUID)
    until(lambda: sorted(node.states(study_uid)) == ["done", "done", "superseded"])  # and the note that rejects the old
    reports = [pydicom.dcmread(io.BytesIO(pacs.file(item["ID"]))) for item in pacs.instances(study_uid)]
    used = [text for ds in reports for text in _inputs(ds)]
    assert any(text.startswith("Glasgow Coma Scale 4 (HL7, ") for text in used)
    (page,) = json.loads(node.command("context", "show", "ACC-FRIDA", "--json").stdout)["patients"]
    known = {(one["value"], one["source"], one["provenance"], one["verdict"]) for one in page["known"]}
    assert known == {
        ("4", "HL7", "LAB F4 OBX 1", "used"),
        ("40", "HL7", "LAB F2 OBX 1", "another patient: birth_date contradict"),
    }


def _inputs(ds: Dataset) -> list[str]:
    """Inputs used, wherever in a report."""
    found = []
    for item in ds.get("ContentSequence", ()):
        if item.ConceptNameCodeSequence and item.ConceptNameCodeSequence[0].CodeValue == codes.INPUT_USED.value:
            found.append(str(item.get("TextValue", "")))
        found += _inputs(item)
    return found


def test_a_refused_document_lies_beside_its_reason_and_no_log_line_has_a_value(node: ServedNode, drop: Path) -> None:
    document(drop, "d-dimer", {"id": "EMIL"}, value("d_dimer", 733.172915, "10:00", "ng/mL"))
    assert (drop / "failed/d-dimer.json").exists()
    assert "unknown_unit" in (drop / "failed/d-dimer.json.reason.txt").read_text()
    until(lambda: "context refused" in node.log.read_text())
    log = node.log.read_text()
    assert not any(word in log for word in ("ANNA", "EMIL", "FRIDA", "733.17", "d-dimer", BORN))

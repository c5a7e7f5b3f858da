"""Early neurological deterioration for real: HL7 and a structured report tell, a CT comes, the PACS gets the scores."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import func, select

from dicomnode.dicom import codes
from dicomnode.store.tables import ReadReport
from tests.acceptance.hl7_node import node_with_hl7, peer_of
from tests.acceptance.orthanc import Orthanc
from tests.acceptance.reading import contents
from tests.acceptance.scanner import small_study, storescu_until_taken
from tests.acceptance.served import ServedNode
from tests.acceptance.test_tiny_bundles import coded, group_of, numbers, scores_report, texts, until
from tests.integration.clinical.test_received_reports import written
from tests.integration.encode.test_validate import DEBIAN_TOOLS, judged
from tests.tools.hl7_messages import D_DIMER, GCS, GLUCOSE, INR, message, obr, obx, pid
from tests.tools.series import write_series
from tests.unit.clinical.test_structured_report import code, report, text

pytestmark = [pytest.mark.tools, pytest.mark.full, pytest.mark.timeout(1800)]

LABEL = "Early neurological deterioration within 7 days"
DONE_S = 600.0
REQUEST = "Acute stroke, for medical management. Unsteady and blurred vision since this morning, denies headache."
LOCAL = {
    "MCA": "mca_occlusion",
    "EVT": "thrombectomy",
    "LYSIS": "thrombolysis",
    "HTN": "hypertension",
    "DM": "diabetes",
    "AF": "atrial_fibrillation",
}
FIRST = (
    ("72089-6^NIHSS^LN", "9", "{score}"),
    (GCS, "14", ""),
    ("8480-6^SBP^LN", "164", "mm[Hg]"),
    ("8462-4^DBP^LN", "98", "mm[Hg]"),
    ("8867-4^HR^LN", "88", "/min"),
    (GLUCOSE, "8.2", "mmol/L"),
    (INR, "1.05", ""),
    ("2951-2^Na^LN", "139", "mmol/L"),
    ("2160-0^Crea^LN", "88", "umol/L"),
    ("6690-2^WBC^LN", "9.1", "10*9/L"),
    ("777-3^PLT^LN", "231", "10*9/L"),
)
TOLD = {"MCA": "yes", "EVT": "no", "LYSIS": "no", "HTN": "yes", "DM": "yes", "AF": "no"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Iterator[ServedNode]:
    folder = tmp_path_factory.mktemp("node")
    with node_with_hl7(folder, pacs, ("deterioration",), {"codes": LOCAL}, issuer="HOSPITAL") as served:
        yield served


def about(name: str, *values: tuple[str, str, str], born: str = "19430601", **told: str) -> str:
    """A message with what is measured of a patient, and what is told by codes of the hospital."""
    cells = [obx(what, number, unit) for what, number, unit in values]
    cells += [obx(f"{local}^{local}^L", says, kind="ST") for local, says in told.items()]
    return message(pid(name, born=born), obr(), *cells, control_id=f"{name}{len(cells)}")


def told_by_hl7(
    node: ServedNode, name: str, *values: tuple[str, str, str], born: str = "19430601", **told: str
) -> None:
    """Send a message about a patient, and see that all of it was taken."""
    with peer_of(node) as peer:
        answer = peer.send(about(name, *values, born=born, **told))
    assert (answer.code, answer.reasons) == ("AA", [])


def told_by_report(node: ServedNode, folder: Path, name: str, words: str) -> None:
    """Send the request as a structured report, and wait until the node has read it."""
    moment = {"ContentDate": "20260101", "ContentTime": "100500", "TimezoneOffsetFromUTC": "+0000"}
    whose = {"PatientID": name, "PatientBirthDate": "19430601", "PatientSex": "F", **moment}
    told = report(text(code("121109", "DCM", "Indications for Procedure"), words), **whose)
    before = reports_read(node)
    storescu_until_taken([written(folder, told)], node.port)
    until(lambda: reports_read(node) > before)


def reports_read(node: ServedNode) -> int:
    """How many structured reports told it something."""
    with node.reading() as session:
        stored = select(func.count(ReadReport.id)).where(ReadReport.outcome == "stored")
        return session.scalar(stored) or 0


def made_hers(study: Sequence[Dataset], name: str, born: str = "19430601") -> None:
    """A CT becomes that of a woman who is 82 years old, unless she was born at another time."""
    years = 2026 - int(born[:4]) - 1
    for ds in study:
        ds.PatientID, ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = name, born, "F", f"{years:03d}Y"
        ds.AcquisitionDate, ds.AcquisitionTime = "20260101", "101500"


def sent(node: ServedNode, folder: Path, name: str, born: str = "19430601") -> str:
    """Send a small CT of hers; the UID of the study."""
    study = small_study(name)
    made_hers(study, name, born)
    storescu_until_taken(write_series(folder, study), node.port)
    return str(study[0].StudyInstanceUID)


def results_of(pacs: Orthanc, study_uid: str) -> list[Dataset]:
    return [pydicom.dcmread(io.BytesIO(pacs.file(item["ID"]))) for item in pacs.instances(study_uid)]


def done(node: ServedNode, pacs: Orthanc, study_uid: str) -> list[Dataset]:
    until(lambda: node.states(study_uid) == ["done"], within_s=DONE_S)
    return results_of(pacs, study_uid)


def test_variables_by_hl7_and_a_request_by_structured_report_become_a_score_in_the_pacs(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    told_by_hl7(node, "ELSA", *FIRST, (D_DIMER, "1.9", "mg/L{FEU}"), **TOLD)
    told_by_report(node, tmp_path, "ELSA", REQUEST)
    results = done(node, pacs, sent(node, tmp_path, "ELSA"))
    scores = scores_report(results)
    group = group_of(scores, LABEL)
    value, threshold = numbers(group)[:2]
    assert 0.0 < value < 1.0
    assert coded(group, codes.RISK_CATEGORY) == ("15508007" if value >= threshold else "75976002")
    used = texts(group, codes.INPUT_USED)
    assert any(line.startswith("D-dimer 1.9 mg/L{FEU} (HL7, 2026-01-01T10:00+00:00") for line in used)
    assert any(line.startswith("Request, indication 14 words (SR") for line in used)
    said = " ".join(str(item.TextValue) for item in contents(scores) if "TextValue" in item)
    assert "within 7 days of admission the NIHSS rises by 2 points or more" in said
    assert 'unsteadiness present ("Unsteady and blurred vision' in said
    plain = next(ds for ds in results if ds.Modality == "SR" and "text" in str(ds.SeriesDescription).lower())
    words = " ".join(str(item.TextValue) for item in contents(plain) if "TextValue" in item)
    assert LABEL in words
    assert numbers(group_of(scores, "SPAN-100")) == [91.0]  # it stands beside it, and so does THRIVE
    assert numbers(group_of(scores, "THRIVE score")) == [4.0]  # NIHSS 9, 82 years, hypertension, diabetes
    assert "OT" in {ds.Modality for ds in results}  # the overview picture
    if all(shutil.which(tool) for tool in DEBIAN_TOOLS):
        files = []
        for place, ds in enumerate(one for one in results if one.Modality == "SR"):
            files.append(tmp_path / f"judged-{place}.dcm")
            ds.save_as(files[-1])
        verdict = judged(files, fast=False)
        assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_a_laboratory_value_that_arrives_late_makes_a_new_result_that_knows_it(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    told_by_hl7(node, "FLORA", *FIRST, **TOLD)
    study_uid = sent(node, tmp_path, "FLORA")
    first = group_of(scores_report(done(node, pacs, study_uid)), LABEL)
    assert "D-dimer" in texts(first, codes.INPUT_MISSING)
    assert "Request, indication" in texts(first, codes.INPUT_MISSING)
    told_by_hl7(node, "FLORA", (D_DIMER, "2600", "ng/mL{FEU}"))
    until(lambda: sorted(node.states(study_uid)) == ["done", "done", "superseded"])  # and the note that rejects the old
    reports = [
        ds for ds in results_of(pacs, study_uid) if ds.Modality == "SR" and "scores" in str(ds.SeriesDescription)
    ]
    told = [texts(group_of(ds, LABEL), codes.INPUT_USED) for ds in reports]
    assert any(any(line.startswith("D-dimer 2.6 mg/L{FEU} (HL7") for line in lines) for lines in told)


def test_after_a_thrombectomy_it_does_not_apply_and_no_number_is_given(
    node: ServedNode, pacs: Orthanc, tmp_path: Path
) -> None:
    told_by_hl7(node, "GRETA", *FIRST, **{**TOLD, "EVT": "yes"})
    group = group_of(scores_report(done(node, pacs, sent(node, tmp_path, "GRETA"))), LABEL)
    assert numbers(group) == []
    assert coded(group, codes.APPLICABILITY) == codes.NOT_APPLICABLE.value
    assert coded(group, codes.WHY_NOT_APPLICABLE) == "POPULATION"
    assert "no thrombectomy; here yes" in texts(group, codes.IMPRESSION)[0]

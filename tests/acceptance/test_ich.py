"""The protocol of a bleed for real, and what a radiologist sees of it in OHIF.

HL7 over TLS with certificates on both sides and a structured report tell, a CT asks, three models answer. Five patients
have the same head: of one much is told, of one nothing, one was hit on the head, in one hardly anything of the bleed is
left, in one nothing. The pictures in ``artifacts/viewer`` are to be looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from scipy import ndimage

from dicomnode.cohort.make import DemoStudy, make_demo_study
from dicomnode.dicom import codes
from dicomnode.kinds import COMPREHENSIVE_3D_SR, ENHANCED_SR, SECONDARY_CAPTURE
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.hl7_node import by_mutual_tls, node_with_hl7, peer_of
from tests.acceptance.orthanc import DICOMWEB, Orthanc
from tests.acceptance.scanner import dcmsend, storescu_until_taken
from tests.acceptance.served import ServedNode
from tests.acceptance.test_deterioration import FIRST, done, told_by_hl7, told_by_report
from tests.acceptance.test_stroke import kinds_of, saved, text_report
from tests.acceptance.test_stroke_viewer import is_whole, words
from tests.acceptance.test_tiny_bundles import coded, group_of, numbers, scores_report, texts
from tests.acceptance.viewer import DICOMWEB_SETTINGS, NoViewer, Viewer
from tests.conftest import REPOSITORY
from tests.integration.encode.test_validate import judged
from tests.tools.hl7_messages import GCS, message, pid
from tests.tools.series import write_series

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.timeout(2400)]

MODELS = ("hemorrhage", "prognosis", "edema")
OUTCOME, OEDEMA = "Poor outcome at 90 days", "Brain oedema"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
ONE_SET = Counter({SEGMENTATION: 1, COMPREHENSIVE_3D_SR: 2, ENHANCED_SR: 1, SECONDARY_CAPTURE: 1})
"""Marks, measurements and scores, text, overview."""
REQUEST = "Found unresponsive this morning, vomited twice. Left-sided weakness."
LOCAL = {"ANTICOAG": "anticoagulant", "HTN": "hypertension", "ONSET": "onset_to_ct"}
TOLD = {"ANTICOAG": "yes", "HTN": "yes"}
KNOWN, UNKNOWN, HIT, LITTLE, NONE = "MARTA", "NORA", "OLGA", "PAULA", "RITA"
LITTLE_RADIUS_MM = 4.0
"""A ball of a quarter of a millilitre: what is marked of it is below 1 mL."""


def ships_fusions() -> bool:
    """Whether the bundle answers by its fusions, which look at the image and can say where."""
    settings = json.loads((REPOSITORY / "dicomnode/zoo/prognosis/bundle/configs/inference.json").read_text())
    return bool(settings["network_def"]["ships"] == "council")


@dataclass(frozen=True)
class Ward:
    """Five patients: what the archive has of each, and the UID of the study."""

    pacs: Orthanc
    results: dict[str, list[Dataset]]
    studies: dict[str, str]

    def group(self, name: str, label: str) -> list[Dataset]:
        return group_of(scores_report(self.results[name]), label)


def head_of(study: DemoStudy, name: str, *, keep_mm: float | None = None) -> list[Dataset]:
    """The demonstration's CT as that of another woman.

    Parameters
    ----------
    keep_mm : of the blood a ball of this radius stays, the rest becomes brain; None: all stays.
    """
    images = [pydicom.dcmread(path) for path in study.paths]
    blood = study.mask if keep_mm is None else without_blood(images, study.mask, keep_mm)
    assert blood.shape[0] == len(images)
    study_uid, series_uid, frame_uid = (generate_uid() for _ in range(3))
    for ds in images:
        ds.PatientID, ds.PatientName, ds.IssuerOfPatientID = name, name, "HOSPITAL"
        ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19430601", "F", "082Y"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study_uid, series_uid, frame_uid
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.StudyDate = ds.AcquisitionDate = "20260101"
        ds.StudyTime = ds.AcquisitionTime = "101500"
    return images


def without_blood(images: Sequence[Dataset], mask: NDArray[np.bool_], keep_mm: float) -> NDArray[np.bool_]:
    """Put brain from across the midline in place of blood; returns what stays of it."""
    pixels = np.stack([ds.pixel_array for ds in images])
    spacing_mm = (5.0, *map(float, images[0].PixelSpacing))
    centre = np.array(ndimage.center_of_mass(mask))
    grid = np.indices(mask.shape).reshape(3, -1).T
    apart_mm = np.linalg.norm((grid - centre) * spacing_mm, axis=1).reshape(mask.shape)
    stays = mask & (apart_mm < keep_mm)
    gone = ndimage.binary_dilation(mask, np.ones((1, 5, 5))) & ~stays
    pixels[gone] = pixels[:, :, ::-1][gone]
    for ds, plane in zip(images, pixels, strict=True):
        ds.PixelData = plane.astype(np.int16 if ds.PixelRepresentation else np.uint16).tobytes()
    return stays


def nothing_known(images: Sequence[Dataset]) -> None:
    """Neither age nor sex."""
    for ds in images:
        ds.PatientBirthDate = ds.PatientSex = ds.PatientAge = ""


def told_of_a_blow(node: ServedNode, name: str) -> None:
    """By a diagnosis at admission."""
    diagnosis = "DG1|1||S06.5^Traumatic subdural haemorrhage^I10"
    admission = message(pid(name, born="19430601"), "PV1|1|E", diagnosis, kind="ADT^A01^ADT_A01", control_id=name)
    with peer_of(node) as peer:
        assert peer.send(admission).code == "AA"


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    if not (orthanc_module.available() and DICOMWEB.exists()):
        pytest.skip("Orthanc with DICOMweb is not installed (tests/tools/debian_tools.sh viewer installs it)")
    folder = tmp_path_factory.mktemp("ward")
    hl7, laboratory = by_mutual_tls(folder / "ca", LOCAL)
    made = make_demo_study(folder / "made")
    heads = {name: head_of(made, name) for name in (KNOWN, UNKNOWN, HIT)}
    heads |= {name: head_of(made, name, keep_mm=mm) for name, mm in ((LITTLE, LITTLE_RADIUS_MM), (NONE, 0.0))}
    nothing_known(heads[UNKNOWN])
    files = {name: write_series(folder / name, images) for name, images in heads.items()}
    studies = {name: str(images[0].StudyInstanceUID) for name, images in heads.items()}
    with (
        Orthanc(folder / "orthanc", settings=DICOMWEB_SETTINGS) as pacs,
        node_with_hl7(
            folder / "node", pacs, MODELS, hl7, protocol="ich", laboratory=laboratory, issuer="HOSPITAL"
        ) as node,
    ):
        for name in (KNOWN, LITTLE, NONE):
            told_by_hl7(node, name, *(one for one in FIRST if one[0] != GCS), (GCS, "9", ""), **TOLD)
        told_by_report(node, folder, KNOWN, REQUEST)
        told_of_a_blow(node, HIT)
        for name in heads:
            storescu_until_taken(files[name], node.port)
        results = {name: done(node, pacs, uid) for name, uid in studies.items()}
        for name in (KNOWN, HIT):
            assert dcmsend(files[name], pacs.dicom_port, called_ae=pacs.ae_title)
        yield Ward(pacs, results, studies)


def test_a_bleed_becomes_one_set_of_results_with_a_risk_whose_direction_is_said(ward: Ward) -> None:
    results = ward.results[KNOWN]
    assert kinds_of(results) == ONE_SET
    group = ward.group(KNOWN, OUTCOME)
    value, low, high, threshold = numbers(group)[:4]
    assert 0.0 < low <= value <= high < 1.0
    assert coded(group, codes.RISK_CATEGORY) == ("POOR_OUTCOME" if value >= threshold else "GOOD_OUTCOME")
    (definition,) = texts(group, codes.DEFINITION)
    assert "The higher the probability, the worse" in definition
    assert "counted the good outcome as positive" in definition
    used = texts(group, codes.INPUT_USED)
    assert any(line.startswith("Glasgow Coma Scale 9 (HL7") for line in used)
    assert any(line.startswith("Oral anticoagulation yes (HL7") for line in used)
    assert any(line.startswith("Indication 8 words (SR") for line in used)
    assert 0.0 < numbers(ward.group(KNOWN, OEDEMA))[0] < 1.0
    said = text_report(results)
    assert f"{OUTCOME}: 0." in said
    assert "the publication that this follows counted the good outcome as positive" in said


def test_the_published_scores_stand_beside_it(ward: Ward) -> None:
    scores = scores_report(ward.results[KNOWN])
    for label, lowest, highest in (("ICH Score", 0, 6), ("FUNC score", 0, 11), ("max-ICH score", 0, 10)):
        assert all(lowest <= number <= highest for number in numbers(group_of(scores, label)))
        assert numbers(group_of(scores, label))
        assert f"{label}: " in text_report(ward.results[KNOWN])
    (ich,) = texts(group_of(scores, "ICH Score"), codes.REFERENCE_SCORE)
    assert "30-day mortality" in ich


def test_each_measure_of_the_head_is_told_once(ward: Ward) -> None:
    said = text_report(ward.results[KNOWN])
    assert [said.count(name) for name in ("Midline shift", "Evans index", "Hypodense share")] == [1, 1, 1]


def test_from_the_ct_alone_it_answers_says_what_is_missing_and_is_less_sure(ward: Ward) -> None:
    known, alone = (numbers(ward.group(name, OUTCOME)) for name in (KNOWN, UNKNOWN))
    assert len(alone) >= 4
    assert alone[2] - alone[1] > known[2] - known[1]
    missing = set(texts(ward.group(UNKNOWN, OUTCOME), codes.INPUT_MISSING))
    assert {"Age", "Sex", "Glasgow Coma Scale", "Oral anticoagulation", "Onset to CT", "Indication"} <= missing
    said = text_report(ward.results[UNKNOWN])
    assert "From the CT alone: nothing of the patient's record was known." in said
    assert all(name in said for name in ("ICH Score", "FUNC score", "max-ICH score"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (HIT, "no head trauma; here yes"),
        (LITTLE, "bleed of at least 1 mL; here"),
        (NONE, "bleed of at least 1 mL; here"),
    ],
)
def test_another_disease_gets_no_number_but_the_coded_reason(ward: Ward, name: str, why: str) -> None:
    group = ward.group(name, OUTCOME)
    assert numbers(group) == []
    assert coded(group, codes.APPLICABILITY) == codes.NOT_APPLICABLE.value
    assert coded(group, codes.WHY_NOT_APPLICABLE) == "POPULATION"
    assert why in " ".join(texts(group, codes.IMPRESSION))
    assert f"{OUTCOME}: not applicable" in text_report(ward.results[name])
    assert 0.0 < numbers(ward.group(name, OEDEMA))[0] < 1.0


@pytest.mark.parametrize("name", [KNOWN, UNKNOWN, HIT, LITTLE, NONE])
def test_the_results_of_the_protocol_are_valid(ward: Ward, tmp_path: Path, name: str) -> None:
    verdict = judged(saved(ward.results[name], tmp_path), fast=True)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_the_reports_of_the_protocol_pass_every_judge(ward: Ward, tmp_path: Path) -> None:
    reports = [ds for name in (KNOWN, HIT) for ds in ward.results[name] if ds.Modality == "SR"]
    verdict = judged(saved(reports, tmp_path), fast=False)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


@pytest.mark.skipif(not ships_fusions(), reason="the regression ships, which looks at no image")
def test_the_overview_is_tinted_where_the_score_comes_from(ward: Ward) -> None:
    known, hit = (orange(overview_of(ward.results[name])) for name in (KNOWN, HIT))
    assert known > 10_000
    assert hit < 0.1 * known  # to whom it does not apply, of whom nothing is shown


def overview_of(results: Sequence[Dataset]) -> NDArray[np.uint8]:
    """(rows, columns, 3) uint8, without banners and panel."""
    (picture,) = (ds for ds in results if ds.SOPClassUID == SECONDARY_CAPTURE)
    pixels: NDArray[np.uint8] = picture.pixel_array
    return pixels[160:900, :1080]


def orange(pixels: NDArray[np.uint8]) -> int:
    """Pixels that are warmer than any grey, and no outline of a bleed."""
    red, green, blue = (pixels[:, :, place].astype(int) for place in range(3))
    return int(((red - blue > 15) & (red - green < 60) & (green > blue)).sum())


@pytest.fixture(scope="module")
def viewer(ward: Ward) -> Iterator[Viewer]:
    try:
        opened = Viewer(ward.pacs)
    except NoViewer as reason:
        pytest.skip(f"no viewer: {reason}")
    with opened:
        yield opened


def test_in_ohif_the_marks_lie_on_the_bleed(viewer: Viewer, ward: Ward) -> None:
    sight = viewer.look(ward.studies[KNOWN], "AI haemorrhage segmentation", "ich-segmentation", scroll=3)
    pixels = sight.image.astype(int)
    assert ((pixels[:, :, 0] - pixels[:, :, 1] > 60).mean()) > 0.002
    assert is_whole(sight)


def test_in_ohif_the_text_report_tells_risk_direction_scores_and_limits(viewer: Viewer, ward: Ward) -> None:
    said = words(viewer.look(ward.studies[KNOWN], "AI text report", "ich-text"))
    assert f"{OUTCOME}: " in said
    assert f"{OEDEMA}: " in said
    assert "The higher the probability, the worse" in said
    assert all(f"{label}: " in said for label in ("ICH Score", "FUNC score", "max-ICH score"))
    assert "Research, not for diagnosis" in said


def test_in_ohif_the_text_report_tells_to_whom_it_does_not_apply(viewer: Viewer, ward: Ward) -> None:
    said = words(viewer.look(ward.studies[HIT], "AI text report", "ich-text-trauma"))
    assert f"{OUTCOME}: not applicable" in said
    assert "no head trauma; here yes" in said


@pytest.mark.parametrize("name", [KNOWN, HIT])
def test_in_ohif_the_overview_opens_with_its_banner(viewer: Viewer, ward: Ward, name: str) -> None:
    sight = viewer.look(ward.studies[name], "AI findings overview", f"ich-overview-{name.lower()}")
    yellow = sight.image[:, :, 0].astype(int) - sight.image[:, :, 2] > 120
    rows = np.flatnonzero(yellow.mean(axis=1) > 0.3)
    assert rows.size
    assert rows.max() > sight.image.shape[0] / 2
    assert is_whole(sight)


def test_in_ohif_the_scores_open(viewer: Viewer, ward: Ward) -> None:
    sight = viewer.look(ward.studies[KNOWN], "AI scores", "ich-scores")
    assert is_whole(sight)
    assert not [fault for fault in sight.faults if "Cannot destructure" in fault or "TypeError" in fault]

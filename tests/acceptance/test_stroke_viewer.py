"""What a radiologist sees of the protocol of a stroke: the node's results in Orthanc, opened in OHIF.

Of one patient all was told; of the other about half, and that she had a thrombectomy. The pictures are to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomnode.cohort.edition import Version
from dicomnode.cohort.patient_files import FOLDERS, PatientOrder, make_patient
from dicomnode.cohort.patients import Arm, Site
from tests.acceptance import orthanc as orthanc_module
from tests.acceptance.hl7_node import node_with_hl7
from tests.acceptance.orthanc import DICOMWEB, Orthanc
from tests.acceptance.scanner import dcmsend, storescu_until_taken
from tests.acceptance.test_deterioration import (
    FIRST,
    LOCAL,
    REQUEST,
    TOLD,
    done,
    made_hers,
    sent,
    told_by_hl7,
    told_by_report,
)
from tests.acceptance.test_deterioration import LABEL as DETERIORATION
from tests.acceptance.test_edema import LABEL as OEDEMA
from tests.acceptance.test_stroke import MODELS, NOT_TOLD
from tests.acceptance.viewer import DICOMWEB_SETTINGS, NoViewer, Sight, Viewer
from tests.tools.hl7_messages import D_DIMER
from tests.tools.series import write_series

pytestmark = [pytest.mark.full, pytest.mark.tools, pytest.mark.timeout(1800)]

ALL_TOLD, HALF_TOLD = "ELSA", "GRETA"


def stroke_study(folder: Path) -> list[Path]:
    """The head CT of a synthetic patient with an infarct."""
    order = PatientOrder(
        out=folder, index=1, seed=24, arm=Arm.STROKE_NO_EVT, site=Site.A, version=Version.TWO, scans=("baseline",)
    )
    make_patient(order)
    study = [pydicom.dcmread(path) for path in sorted((folder / "patient-0001" / FOLDERS["baseline"]).iterdir())]
    made_hers(study, ALL_TOLD)
    for ds in study:
        ds.StudyDate, ds.StudyTime, ds.IssuerOfPatientID = ds.AcquisitionDate, ds.AcquisitionTime, "HOSPITAL"
    return write_series(folder / "hers", study)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if not (orthanc_module.available() and DICOMWEB.exists()):
        pytest.skip("Orthanc with DICOMweb is not installed (tests/tools/debian_tools.sh viewer installs it)")
    with Orthanc(tmp_path_factory.mktemp("orthanc"), settings=DICOMWEB_SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def studies(archive: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Patient -> UID of the study, once its images and the node's results are in the archive."""
    folder = tmp_path_factory.mktemp("stroke")
    ct = stroke_study(folder)
    study_uid = str(pydicom.dcmread(ct[0], stop_before_pixels=True).StudyInstanceUID)
    with node_with_hl7(
        folder / "node", archive, MODELS, {"codes": LOCAL}, protocol="stroke", issuer="HOSPITAL"
    ) as node:
        told_by_hl7(node, ALL_TOLD, *FIRST, (D_DIMER, "1.9", "mg/L{FEU}"), **TOLD)
        told_by_report(node, folder, ALL_TOLD, REQUEST)
        storescu_until_taken(ct, node.port)
        done(node, archive, study_uid)
        told_by_hl7(node, HALF_TOLD, *FIRST, **{**TOLD, "EVT": "yes"})
        other_uid = sent(node, folder / "other", HALF_TOLD)
        done(node, archive, other_uid)
    assert dcmsend([*ct, *(folder / "other").iterdir()], archive.dicom_port, called_ae=archive.ae_title)
    return {ALL_TOLD: study_uid, HALF_TOLD: other_uid}


@pytest.fixture(scope="module")
def viewer(archive: Orthanc) -> Iterator[Viewer]:
    try:
        opened = Viewer(archive)
    except NoViewer as reason:
        pytest.skip(f"no viewer: {reason}")
    with opened:
        yield opened


def words(sight: Sight) -> str:
    return " ".join(sight.texts.split())


def is_whole(sight: Sight) -> bool:
    """Whether the page stands: OHIF shows this sentence in place of what it cannot draw."""
    return "Something went wrong" not in sight.texts


def test_the_text_report_tells_both_probabilities_what_they_mean_and_what_they_used(
    viewer: Viewer, studies: dict[str, str]
) -> None:
    sight = viewer.look(studies[ALL_TOLD], "AI text report", "stroke-text")
    said = words(sight)
    assert f"{DETERIORATION}: " in said
    assert f"{OEDEMA}: " in said
    assert "within 7 days of admission the NIHSS rises by 2 points or more" in said
    assert "D-dimer 1.9 mg/L{FEU}" in said
    assert "NIHSS 9 (HL7" in said
    assert "Research, not for diagnosis" in said
    assert is_whole(sight)


def test_the_text_report_tells_what_was_missing_and_to_whom_a_model_does_not_apply(
    viewer: Viewer, studies: dict[str, str]
) -> None:
    said = words(viewer.look(studies[HALF_TOLD], "AI text report", "stroke-text-half"))
    assert f"{DETERIORATION}: not applicable" in said
    assert f"{OEDEMA}: " in said
    assert all(name in said for name in NOT_TOLD)


@pytest.mark.parametrize("name", [ALL_TOLD, HALF_TOLD])
def test_the_overview_opens_with_its_banner(viewer: Viewer, studies: dict[str, str], name: str) -> None:
    sight = viewer.look(studies[name], "AI findings overview", f"stroke-overview-{name.lower()}")
    yellow = sight.image[:, :, 0].astype(int) - sight.image[:, :, 2] > 120
    rows = np.flatnonzero(yellow.mean(axis=1) > 0.3)
    assert rows.size
    assert rows.max() > sight.image.shape[0] / 2
    assert is_whole(sight)


@pytest.mark.parametrize("name", [ALL_TOLD, HALF_TOLD])
def test_the_scores_open(viewer: Viewer, studies: dict[str, str], name: str) -> None:
    sight = viewer.look(studies[name], "AI scores", f"stroke-scores-{name.lower()}")
    assert is_whole(sight)
    assert not [fault for fault in sight.faults if "Cannot destructure" in fault or "TypeError" in fault]

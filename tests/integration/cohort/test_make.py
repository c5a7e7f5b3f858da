"""A cohort on disk: manifest, formats, digest, command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from dicomnode.cli.main import app
from dicomnode.cohort import nifti
from dicomnode.cohort.make import make_cohort
from dicomnode.cohort.outcomes import draw_outcomes
from dicomnode.cohort.patients import Arm, Site, draw_patient
from dicomnode.cohort.reports import write_report
from dicomnode.cohort.scene import BLOOD
from dicomnode.cohort.second import people
from dicomnode.cohort.second.outcomes import draw_outcomes as draw_second_outcomes
from dicomnode.cohort.streams import derived_seed
from dicomnode.images.volume import read_volume
from tests.tools.series import points_of


def _rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients after thrombectomy at site B as DICOM and arrays."""
    out = tmp_path_factory.mktemp("cohort")
    make_cohort(out, 2, 8, progress=False, arm="post_evt", site="B", matrix=96, formats=("dicom", "array"), version="1")
    return out


def test_the_manifest_holds_all_a_training_needs(cohort: Path) -> None:
    for index, row in enumerate(_rows(cohort / "manifest.csv"), start=1):
        patient = draw_patient(derived_seed(8, "patient", index), Arm.POST_EVT, Site.B)
        outcomes = draw_outcomes(patient)
        assert row["id"] == row["patient"] == f"COHORT-B-{index:04d}"
        assert (row["arm"], row["site"]) == ("post_evt", "B")
        assert json.loads(row["labels"]) == outcomes.labels
        assert json.loads(row["oracle"]) == pytest.approx(outcomes.oracle, abs=1e-6)
        variables = json.loads(row["variables"])
        assert variables["age_years"] == patient.age_years
        assert variables["d_dimer_mg_l_feu"] == patient.variables["d_dimer_mg_l_feu"]
        assert row["text"] == write_report(patient).text
        assert row["split"] in {"train", "validation", "test"}
        for column in ("image", "masks", "followup_image", "followup_masks"):
            assert (cohort / row[column]).exists(), column


@pytest.mark.parametrize("prefix", ["", "followup_"])
def test_both_scans_are_series_of_one_patient_with_masks_on_their_slices(cohort: Path, prefix: str) -> None:
    row = _rows(cohort / "manifest.csv")[0]
    paths = sorted((cohort / row[f"{prefix}image"]).glob("*.dcm"))
    volume = read_volume(paths)
    with np.load(cohort / row[f"{prefix}masks"]) as stored:
        mask, findings = stored["mask"], stored["findings"]
    assert mask.shape == findings.shape == volume.hu.shape
    assert np.array_equal(mask, np.isin(findings, BLOOD))
    assert np.array_equal(np.load(cohort / "patient-0001" / f"{prefix}ct.npy").shape, volume.hu.shape)
    measured = (mask.sum((1, 2)) * volume.stack.weights_mm).sum() * volume.stack.pixel_area_mm2 / 1000
    assert measured == pytest.approx(float(row[f"{prefix}volume_ml"]), abs=2e-3)
    ds = pydicom.dcmread(paths[0], stop_before_pixels=True)
    assert ds.PatientID == row["patient"]
    assert ds.Manufacturer == "dicomnode cohort B"
    assert ds.StudyDescription == "CT Head after thrombectomy"


def test_the_follow_up_is_a_later_study(cohort: Path) -> None:
    row = _rows(cohort / "manifest.csv")[1]
    first, second = (
        pydicom.dcmread(next((cohort / row[column]).glob("*.dcm")), stop_before_pixels=True)
        for column in ("image", "followup_image")
    )
    assert first.StudyInstanceUID != second.StudyInstanceUID
    assert first.StudyDate + first.StudyTime < second.StudyDate + second.StudyTime


def test_a_cohort_has_a_version_a_digest_and_a_picture(cohort: Path) -> None:
    facts = json.loads((cohort / "cohort.json").read_text())
    assert facts["cohort_version"] == "1"
    assert len(facts["digest"]) == 64
    assert (facts["arm"], facts["site"], facts["patients"], facts["seed"]) == ("post_evt", "B", 2, 8)
    with Image.open(cohort / "contact_sheet.png") as picture:
        assert picture.size == (2 * 8 * 128, 2 * 128)


def test_the_same_seed_gives_the_same_digest_in_any_number_of_processes_and_threads(tmp_path: Path) -> None:
    digests, manifests = [], []
    for processes, threads in ((1, 1), (1, 2), (2, 1)):
        out = tmp_path / f"{processes}-{threads}"
        with threadpool_limits(threads, user_api="blas"):
            make_cohort(out, 4, 3, progress=False, arm="normal", matrix=64, formats=("array",), processes=processes)
        digests.append(json.loads((out / "cohort.json").read_text())["digest"])
        manifests.append((out / "manifest.csv").read_text())
    assert len(set(digests)) == 1
    assert len(set(manifests)) == 1


def test_nifti_has_the_same_voxels_at_the_same_places(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    manifest = make_cohort(tmp_path, 1, 2, progress=False, arm="ich", matrix=64, formats=("dicom", "nifti"))
    (row,) = _rows(manifest)
    image = nibabel.load(tmp_path / row["nifti"])
    volume = read_volume(sorted((tmp_path / row["image"]).glob("*.dcm")))
    values = np.asarray(image.dataobj)
    inside = volume.hu > -1000
    assert np.abs(values.transpose(2, 1, 0) - volume.hu)[inside].max() <= 1
    last = values.shape[2] - 1
    indices = np.array([[0, 0, 0], [10, 20, 3], [5, 60, last]])
    ras = (image.affine @ np.c_[indices, np.ones(3)].T)[:3].T
    lps = points_of(volume.stack, indices[:, ::-1])
    assert ras == pytest.approx(lps * [-1, -1, 1], abs=1e-2)


def test_uneven_stacks_have_no_nifti(cohort: Path) -> None:
    from dicomnode.cohort.acquire import Acquisition
    from dicomnode.cohort.lesions import Lesions
    from dicomnode.cohort.scanner import Artefacts, scan_scene
    from dicomnode.cohort.scene import make_anatomy, make_scene

    scene = make_scene(make_anatomy(1, Lesions(), spacing_mm=4.0), Lesions())
    scan = scan_scene(scene, Acquisition(positions_mm=(0.0, 4.0, 11.0), matrix=32, pixel_mm=8.0), Artefacts(), 1)
    assert not nifti.write(scan.series, scan.findings, cohort / "uneven.nii.gz")
    assert not (cohort / "uneven.nii.gz").exists()


def test_the_command_makes_a_cohort_and_refuses_what_does_not_exist(tmp_path: Path) -> None:
    runner = CliRunner()
    call = ["cohort", "make", str(tmp_path / "c"), "-n", "1", "--arm", "trauma", "--site", "C", "--matrix", "64"]
    done = runner.invoke(app, [*call, "--format", "array"])
    assert done.exit_code == 0, done.output
    (row,) = _rows(tmp_path / "c" / "manifest.csv")
    assert (row["arm"], row["site"], row["image"]) == ("trauma", "C", "patient-0001/ct.npy")
    for option in ("--arm", "--site", "--format"):
        wrong = runner.invoke(app, [*call, option, "nonsense"])
        assert wrong.exit_code == 2
        assert "nonsense" in wrong.output


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such format: tiff"):
        make_cohort(tmp_path, 1, 1, formats=("tiff",))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients after thrombectomy of version 2 as coarse arrays."""
    out = tmp_path_factory.mktemp("second")
    make_cohort(out, 2, 8, progress=False, arm="post_evt", site="B", matrix=96, formats=("array",))
    return out


def test_the_second_version_says_where_when_what_was_hidden_and_how_the_head_moved(second: Path) -> None:
    assert json.loads((second / "cohort.json").read_text())["cohort_version"] == "2"
    for index, row in enumerate(_rows(second / "manifest.csv"), start=1):
        patient = people.draw_patient(derived_seed(8, "patient", index), Arm.POST_EVT, Site.B)
        assert json.loads(row["oracle"]) == pytest.approx(draw_second_outcomes(patient).oracle, abs=1e-6)
        assert float(row["followup_hours"]) == patient.followup_h
        assert float(row["onset_h"]) == patient.causes["onset_h"]
        assert json.loads(row["mentions"]) == patient.mentions
        assert json.loads(row["place_mm"]) == pytest.approx(patient.lesions.place_mm, abs=0.06)
        assert row["text"].count(row["indication"]) == 1
        pair = json.loads(row["pair"])
        assert 1.0 <= np.linalg.norm(pair["shift_mm"]) <= 5.0
        assert 1.0 <= np.linalg.norm(pair["turn_deg"]) <= 5.0


def test_ceilings_stand_beside_the_outcomes_of_a_cohort(second: Path) -> None:
    ceilings = json.loads((second / "cohort.json").read_text())["ceilings"]
    assert set(ceilings) == {"haemorrhage_followup", "oedema"}
    for values in ceilings.values():
        assert values["image"] < values["image+variables"] < values["oracle"]


def test_baselines_alone_are_made_when_asked_for(tmp_path: Path) -> None:
    arguments = ["cohort", "make", str(tmp_path), "-n", "1", "--matrix", "64", "--format", "array", "--baseline-only"]
    assert CliRunner().invoke(app, [*arguments, "--arm", "normal"]).exit_code == 0
    (row,) = _rows(tmp_path / "manifest.csv")
    assert (row["followup_image"], row["followup_masks"], row["followup_volume_ml"]) == ("", "", "")
    assert {path.name for path in (tmp_path / "patient-0001").iterdir()} == {"ct.npy", "mask.npz", "contact_sheet.png"}

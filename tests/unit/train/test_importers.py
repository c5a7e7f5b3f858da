"""Tiny folders in the layout of each public data set, made here; no file of any data set is in the repository."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomnode.cohort.acquire import AcquiredSeries
from dicomnode.cohort.edition import Version
from dicomnode.cohort.make import make_cohort
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.versions import RECIPES
from dicomnode.errors import ConfigError, ManifestError
from dicomnode.images.files import read_image
from dicomnode.train.importers.cohort import read, read_followups, variables_of
from dicomnode.train.importers.layouts import LAYOUTS, import_layout
from dicomnode.train.manifest import Manifest, Split, read_manifest
from dicomnode.train.slices.exams import Planes, load_exams
from dicomnode.train.targets import target_on
from dicomnode.zoo.deterioration.variables import VARIABLES

from .heads import acquired_head, nifti_of, write_dicom_exam

PLANES = Planes(96, 2.2, ("hemorrhage",))
KINDS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")


@pytest.fixture(scope="module")
def head() -> AcquiredSeries:
    return acquired_head(31, volume_ml=35.0)


@pytest.fixture(scope="module")
def series(head: AcquiredSeries, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("series")
    write_dicom_exam(head, folder, "s")
    return sorted((folder / "s").glob("*.dcm"))


def imported(name: str, folder: Path, out: Path) -> Manifest:
    import_layout(name, folder, out / "manifest.csv")
    return read_manifest(out / "manifest.csv")


def test_rsna_slices_of_one_folder_become_exams_by_series(series: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "rsna"
    (root / "stage_2_train").mkdir(parents=True)
    lines = ["ID,Label"]
    for k, path in enumerate(series):
        ds = pydicom.dcmread(path)
        ds.PatientID = "ID_patient1"
        ds.save_as(root / "stage_2_train" / f"ID_{9999 - k:04d}.dcm")
        values = {"any": k == 8, "subdural": k == 8}
        lines += [f"ID_{9999 - k:04d}_{kind},{int(values.get(kind, False))}" for kind in KINDS]
    (root / "stage_2_train.csv").write_text("\n".join(lines) + "\n")
    read = imported("rsna2019", root, tmp_path / "out")
    (case,) = read.cases
    assert (case.patient, case.split, case.masks) == ("ID_patient1", Split.UNLABELLED, {})
    assert (case.labels["hemorrhage"], case.labels["subdural"], case.labels["epidural"]) == (1.0, 1.0, 0.0)
    (exam,), _ = load_exams(read.cases, PLANES, tmp_path / "cache", progress=False)
    assert len(exam.hu) == len(series)
    assert not exam.known()


def test_cq500_takes_the_plain_series_and_the_majority_of_the_readers(series: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "cq500"
    for number in (0, 12):
        for name in ("CT Plain", "CT Plain THIN", "CT BONE", "CT 5mm POST CONTRAST"):
            folder = root / f"CQ500CT{number} CQ500CT{number}" / "Unknown Study" / name
            folder.mkdir(parents=True)
            for k, path in enumerate(series):
                shutil.copy(path, folder / f"CT{k:06d}.dcm")
    columns = [f"R{r}:{c}" for r in (1, 2, 3) for c in ("ICH", "IPH", "IVH", "SDH", "EDH", "SAH")]
    reads = [
        ",".join(["name", "Category", *columns]),
        ",".join(["CQ500-CT-0", "B1", *("1" if c in ("R1:ICH", "R3:ICH", "R2:IPH") else "0" for c in columns)]),
        ",".join(["CQ500-CT-12", "B2", *("1" if c == "R1:ICH" else "0" for c in columns)]),
        ",".join(["CQ500-CT-7", "B2", *("0" for _ in columns)]),
    ]
    (root / "reads.csv").write_text("\n".join(reads) + "\n")
    read = imported("cq500", root, tmp_path)
    assert [case.id for case in read.cases] == ["CQ500-CT-0", "CQ500-CT-12"]
    assert [case.labels["hemorrhage"] for case in read.cases] == [1.0, 0.0]
    assert read.cases[0].labels["intraparenchymal"] == 0.0
    assert {case.image.name for case in read.cases} == {"CT Plain"}
    assert {case.split for case in read.cases} == {Split.TEST}
    exams, _ = load_exams(read.cases, PLANES, tmp_path / "cache", progress=False)
    assert [exam.known() for exam in exams] == [False, True]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("CT 2.55mm", True),
        ("CT Thin Plain", True),
        ("CT PRE CONTRAST 5MM STD", True),
        ("CT POST CONTRAST", False),
        ("CT CONTRAST THIN", False),
        ("CT I To S bone", False),
    ],
)
def test_cq500_knows_a_plain_series_by_its_name(name: str, plain: bool, tmp_path: Path) -> None:
    from dicomnode.train.importers.cq500 import plain_series

    folder = tmp_path / "qct01" / "CQ500CT3 CQ500CT3" / "Unknown Study" / name
    folder.mkdir(parents=True)
    for k in range(12):
        (folder / f"{k}.dcm").touch()
    assert plain_series(tmp_path, "3") == (folder if plain else None)
    assert plain_series(tmp_path, "33") is None


def ct_ich(root: Path, head: AcquiredSeries) -> Path:
    for part in ("ct_scans", "masks"):
        (root / part).mkdir(parents=True)
    nifti_of(np.rint(head.hu).astype(np.int16), head, root / "ct_scans" / "049.nii")
    nifti_of(head.mask.astype(np.uint8) * 255, head, root / "masks" / "049.nii")
    names = "Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage,Fracture_Yes_No"
    rows = [f"49,{k},0,{int(k == 5)},0,0,0,{int(k != 5)},0" for k in range(1, 18)]
    table = "\n".join([f"PatientNumber,SliceNumber,{names}", *rows]) + "\n"
    (root / "hemorrhage_diagnosis_raw_ct.csv").write_text(table)
    return root


def test_ct_ich_scans_come_with_their_masks(head: AcquiredSeries, tmp_path: Path) -> None:
    read = imported("ct-ich", ct_ich(tmp_path / "ich", head), tmp_path)
    (case,) = read.cases
    assert (case.id, case.split) == ("ct-ich-049", None)
    assert (case.labels["hemorrhage"], case.labels["intraparenchymal"], case.labels["subdural"]) == (1.0, 1.0, 0.0)
    (exam,), _ = load_exams(read.cases, PLANES, tmp_path / "cache", progress=False)
    marked_ml = float(((exam.truth[:, 0] == 1).sum(axis=(1, 2)) * exam.pixel_ml).sum())
    assert marked_ml == pytest.approx(head.volume_ml, rel=0.08)


def test_ct_ich_lists_all_that_is_missing(head: AcquiredSeries, tmp_path: Path) -> None:
    root = ct_ich(tmp_path / "ich", head)
    (root / "masks" / "049.nii").unlink()
    shutil.copy(root / "ct_scans" / "049.nii", root / "ct_scans" / "050.nii")
    with pytest.raises(ManifestError) as caught:
        import_layout("ct-ich", root, tmp_path / "m.csv")
    assert caught.value.faults == [
        "masks: there is no 049.nii",
        "hemorrhage_diagnosis_raw_ct.csv: no row for 050.nii",
    ]


def test_bhsd_masks_of_all_types_are_haemorrhage(head: AcquiredSeries, tmp_path: Path) -> None:
    root = tmp_path / "label_192"
    for part in ("images", "ground truths"):
        (root / part).mkdir(parents=True)
    typed = head.mask.astype(np.uint8) * np.where(np.arange(len(head.mask)) % 2, 2, 5)[:, None, None].astype(np.uint8)
    nifti_of(np.rint(head.hu).astype(np.int16), head, root / "images" / "ID_0a.nii.gz")
    nifti_of(typed, head, root / "ground truths" / "ID_0a.nii.gz")
    read = imported("bhsd", tmp_path, tmp_path / "out")
    (exam,), _ = load_exams(read.cases, PLANES, tmp_path / "cache", progress=False)
    marked_ml = float(((exam.truth[:, 0] == 1).sum(axis=(1, 2)) * exam.pixel_ml).sum())
    assert marked_ml == pytest.approx(head.volume_ml, rel=0.08)
    (root / "ground truths" / "ID_0a.nii.gz").unlink()
    with pytest.raises(ManifestError, match=r"ground truths: there is no ID_0a\.nii\.gz"):
        import_layout("bhsd", tmp_path, tmp_path / "m.csv")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 1, 5, progress=False, arm="ich", matrix=160, formats=("dicom",), version="1")
    return folder


def test_the_cohorts_own_table_becomes_a_manifest_that_says_synthetic(cohort: Path, tmp_path: Path) -> None:
    read = imported("cohort", cohort, tmp_path)
    (case,) = read.cases
    assert read.synthetic
    assert case.split is not None
    assert case.labels["hemorrhage"] == 1.0
    with (cohort / "manifest.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert case.variables["age"] == json.loads(row["variables"])["age_years"]
    assert {"male", "gcs"} <= case.variables.keys()
    assert case.text is not None
    assert "INDICATION" in case.text.read_text()
    volume = read_image(case.image)
    bone, bone_later = volume.hu > 300, target_on(case.targets["followup"], volume.stack) > 300
    assert 2 * (bone & bone_later).sum() / (bone.sum() + bone_later.sum()) > 0.9  # the same head in the same place
    planes = Planes(96, 2.2, ("hemorrhage", "intraparenchymal"))
    (exam,), _ = load_exams(read.cases, planes, tmp_path / "cache", progress=False)
    marked_ml = ((exam.truth == 1).sum(axis=(2, 3)) * exam.pixel_ml[:, None]).sum(axis=0)
    assert marked_ml[0] == pytest.approx(float(row["volume_ml"]), rel=0.1, abs=0.5)
    assert marked_ml[1] == pytest.approx(json.loads(row["volumes_ml"])["intraparenchymal"], rel=0.1, abs=0.5)


def test_models_of_later_cohorts_are_given_the_indication_without_the_findings(cohort: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(cohort, tmp_path / "second")
    facts = json.loads((copy / "cohort.json").read_text())
    (copy / "cohort.json").write_text(json.dumps({**facts, "cohort_version": "2"}))
    (whole, alone) = (read(folder, tmp_path / folder.name)[0].text for folder in (cohort, copy))
    assert whole is not None
    assert alone is not None
    assert whole.read_text() == f"INDICATION: {alone.read_text()}\nFINDINGS: {whole.read_text().split('FINDINGS: ')[1]}"


def test_all_that_the_deterioration_model_reads_has_its_name_in_an_imported_manifest() -> None:
    draw = RECIPES[Version.TWO].draw_patient
    patients = [draw(seed, Arm.STROKE_NO_EVT, Site.A) for seed in range(40)]
    named = set().union(*(variables_of(patient.recorded) for patient in patients))
    assert {one.trained_as for one in VARIABLES.values()} <= named


def test_facts_of_a_cohort_that_cannot_be_read_are_named(cohort: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(cohort, tmp_path / "broken")
    (copy / "cohort.json").write_text("{}")
    with pytest.raises(ManifestError, match="cohort_version"):
        read(copy, tmp_path)


def test_the_follow_up_scans_of_a_cohort_are_exams_with_masks_of_their_own(cohort: Path) -> None:
    (case,) = read_followups(cohort)
    (first,) = read(cohort, cohort)
    assert (case.id, case.patient) == (f"{first.id}-followup", first.patient)
    assert set(case.labels) == {"hemorrhage"}
    assert case.masks["extra_axial"].values == (3, 4, 5)
    assert case.masks["hemorrhage"].path != first.masks["hemorrhage"].path
    assert case.image.is_dir()


def test_a_row_of_the_cohort_that_cannot_be_read_is_named(cohort: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(cohort, tmp_path / "cohort")
    table = (copy / "manifest.csv").read_text()
    (copy / "manifest.csv").write_text(table.replace('""age_years"": ', '""age_years"": x', 1))
    with pytest.raises(ManifestError, match=r"manifest.csv, COHORT-0001: "):
        import_layout("cohort", copy, tmp_path / "m.csv")


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_shows_its_licence_and_refuses_an_empty_folder(name: str, tmp_path: Path) -> None:
    assert LAYOUTS[name].licence
    with pytest.raises(ManifestError, match="there is no"):
        import_layout(name, tmp_path, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_an_unknown_layout_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rsna2019, cq500, ct-ich, bhsd, cohort"):
        import_layout("instance", tmp_path, tmp_path / "m.csv")

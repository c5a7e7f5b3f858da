from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.errors import ConfigError, ManifestError
from dicomnode.train.manifest import COLUMNS, MaskFile, Split, read_manifest, write_manifest

HEADER = "id,patient,image,masks,variables,text,labels,split,site,synthetic\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.nii", "b.nii", "c.nii", "mask.nii", "report.txt"):
        (tmp_path / name).write_text("x")
    return tmp_path


def manifest(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "manifest.csv"
    path.write_text(header + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def faults(path: Path, **options: object) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, **options)  # type: ignore[arg-type]
    return caught.value.faults


def test_a_full_row_is_read_with_paths_beside_the_manifest(folder: Path) -> None:
    row = "e1,p1,a.nii,hemorrhage=mask.nii;edema=mask.nii#3,age=72; gcs=13.5,report.txt,death=1;mrs=6,test,A,yes"
    read = read_manifest(manifest(folder, row), {"mrs": (0, 6)})
    (case,) = read.cases
    assert case.image == folder / "a.nii"
    assert case.masks == {"hemorrhage": MaskFile(folder / "mask.nii"), "edema": MaskFile(folder / "mask.nii", (3,))}
    assert case.variables == {"age": 72.0, "gcs": 13.5}
    assert case.text == folder / "report.txt"
    assert case.labels == {"death": 1.0, "mrs": 6.0}
    assert (case.split, case.site, case.synthetic) == (Split.TEST, "A", True)
    assert read.synthetic


def test_a_mask_of_several_values_is_read_and_written(folder: Path) -> None:
    read = read_manifest(manifest(folder, "e1,p1,a.nii,extra_axial=mask.nii#3+4+5,,,,,,"))
    assert read.cases[0].masks["extra_axial"] == MaskFile(folder / "mask.nii", (3, 4, 5))
    assert read_manifest(write_manifest(folder / "again.csv", read.cases)).cases == read.cases


def test_targets_and_groups_are_read_and_written(folder: Path) -> None:
    header = "id,patient,targets,groups\n"
    read = read_manifest(manifest(folder, "e1,p1,followup=b.nii,scanner=GE; sex=F", "e2,p2,,", header=header))
    assert read.cases[0].targets == {"followup": folder / "b.nii"}
    assert read.cases[0].groups == {"scanner": "GE", "sex": "F"}
    assert (read.cases[1].targets, read.cases[1].groups, read.cases[1].image) == ({}, {}, None)
    assert read_manifest(write_manifest(folder / "again.csv", read.cases)).cases == read.cases
    wrong = manifest(folder, "e1,p1,followup=gone.nii,GE", header=header)
    assert faults(wrong) == [
        "manifest.csv: line 2, targets: there is no gone.nii",
        "manifest.csv: line 2, groups: 'GE' is not name=value",
    ]


def test_three_columns_are_enough_and_real_is_the_default(folder: Path) -> None:
    read = read_manifest(manifest(folder, "e1,p1,a.nii", header="id,patient,image\n"))
    assert read.cases[0].split is None
    assert not read.cases[0].masks
    assert not read.synthetic


def test_what_is_written_reads_back_the_same(folder: Path) -> None:
    rows = (
        "e1,p1,a.nii,hemorrhage=mask.nii#2,age=0.1,report.txt,death=0.25,train,B,no",
        'e2,p2,b.nii,,,,,unlabelled,"site, with comma",yes',
    )
    read = read_manifest(manifest(folder, *rows))
    written = write_manifest(folder / "written.csv", read.cases)
    assert read_manifest(written).cases == read.cases
    assert written.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_a_byte_order_mark_from_a_spreadsheet_does_not_hide_the_first_column(folder: Path) -> None:
    path = manifest(folder, "e1,p1,a.nii", header="\ufeffid,patient,image\n")
    assert read_manifest(path).cases[0].id == "e1"


def test_every_fault_is_listed_with_its_line_and_column(folder: Path) -> None:
    (folder / "empty").mkdir()
    found = faults(
        manifest(
            folder,
            "e1,p1,gone.nii,hemorrhage=lost.nii,age=old,away.txt,death=2,train,,",
            "e1,p1,b.nii,hemorrhage,gcs=nan,,death=-0.1;death=1,test,,maybe",
            "e3,,empty,m=mask.nii#x,,,,dev,,",
            "e4,p4,c.nii,,,,,,,",
        )
    )
    expected = [
        "line 2, image: there is no gone.nii",
        "line 2, masks: there is no lost.nii",
        "line 2, variables: age: 'old' is no number",
        "line 2, text: there is no away.txt",
        "line 2, labels: death: 2 lies outside 0 to 1",
        "line 3, masks: 'hemorrhage' is not name=value",
        "line 3, variables: gcs: 'nan' is no number",
        "line 3, labels: death stands there twice",
        "line 3, labels: death: -0.1 lies outside 0 to 1",
        "line 3, synthetic: 'maybe' is neither yes nor no",
        "line 3, id: e1 stands already in line 2",
        "line 4, patient: is empty",
        "line 4, image: empty is an empty folder",
        "line 4, masks: 'x' after # is no whole number",
        "line 4, split: 'dev' is none of train, validation, calibration, test, unlabelled",
        "patient p1 stands in 2 splits: test, train",
        "2 of 4 rows have no split (first: line 4); give all or none",
    ]
    assert sorted(found) == sorted(f"manifest.csv: {fault}" for fault in expected)


def test_a_label_outside_its_declared_range_is_refused(folder: Path) -> None:
    path = manifest(folder, "e1,p1,a.nii,,,,mrs=7,,,")
    assert faults(path, label_ranges={"mrs": (0, 6)}) == ["manifest.csv: line 2, labels: mrs: 7 lies outside 0 to 6"]


def test_wrong_columns_are_refused_before_the_rows(folder: Path) -> None:
    found = faults(manifest(folder, "e1,a.nii,x", header="id,image,colour\n"))
    assert len(found) == 2
    assert "column patient is missing" in found[0]
    assert "'colour' is unknown" in found[1]


def test_a_row_with_a_field_too_many_is_refused(folder: Path) -> None:
    assert faults(manifest(folder, "e1,p1,a.nii,x", header="id,patient,image\n")) == [
        "manifest.csv: line 2: more fields than the header has"
    ]


def test_a_manifest_without_exams_and_one_that_is_not_there_are_refused(folder: Path) -> None:
    assert "no exam in it" in faults(manifest(folder))[0]
    assert "cannot be read" in faults(folder / "none.csv")[0]
    (folder / "latin.csv").write_bytes(HEADER.encode() + b"\xe9,p,a.nii,,,,,,,\n")
    assert "cannot be read" in faults(folder / "latin.csv")[0]


def test_the_command_line_reports_it_as_a_wrong_call() -> None:
    assert issubclass(ManifestError, ConfigError)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dicomnode.cohort.acquire import AcquiredSeries
from dicomnode.errors import ManifestError
from dicomnode.train.manifest import Case, MaskFile
from dicomnode.train.slices.exams import UNKNOWN, Planes, load_exams, make_exam
from dicomnode.zoo.planes import with_neighbours

from .heads import acquired_head, nifti_of, write_dicom_exam, write_nifti_exam

PLANES = Planes(128, 1.6, ("hemorrhage",))


@pytest.fixture(scope="module")
def head() -> AcquiredSeries:
    return acquired_head(5, volume_ml=30.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exams")


@pytest.fixture(scope="module")
def dicom(head: AcquiredSeries, folder: Path) -> Case:
    return write_dicom_exam(head, folder, "dicom")


def test_the_planes_keep_the_volume_of_the_mask(dicom: Case, head: AcquiredSeries) -> None:
    exam = make_exam(dicom, PLANES)
    volume_ml = float(((exam.truth[:, 0] == 1).sum(axis=(1, 2)) * exam.pixel_ml).sum())
    assert volume_ml == pytest.approx(head.volume_ml, rel=0.05)
    inside = exam.hu[exam.truth[:, 0] == 1]
    assert 45 < np.median(inside) < 80
    assert exam.known()
    assert (np.diff(exam.offsets_mm) > 0).all()


def test_the_interior_of_the_skull_holds_the_bleed_and_mostly_brain(dicom: Case) -> None:
    exam = make_exam(dicom, PLANES)
    assert exam.inside is not None
    assert exam.inside[exam.truth[:, 0] == 1].mean() > 0.95
    hu = exam.hu[exam.inside]
    assert np.mean((hu > -10) & (hu < 90)) > 0.8
    assert np.mean(hu < -300) < 0.01


@pytest.mark.parametrize("flip", [False, True])
def test_nifti_and_dicom_of_one_head_give_the_same_planes(
    dicom: Case, head: AcquiredSeries, folder: Path, flip: bool
) -> None:
    nifti = write_nifti_exam(head, folder / f"nifti{flip}", "n", flip=flip, value=3)
    a, b = make_exam(dicom, PLANES), make_exam(nifti, PLANES)
    assert np.array_equal(a.truth, b.truth)
    # DICOM pads outside the scanner's circle, the NIfTI file holds the air
    scanned = (a.hu > -900) & (b.hu > -900)
    assert scanned.mean() > 0.3
    assert np.abs(a.hu.astype(int) - b.hu)[scanned].max() <= 1
    np.testing.assert_allclose(a.pixel_ml, b.pixel_ml, rtol=1e-5)


def test_a_list_of_files_reads_as_the_folder_does(dicom: Case, folder: Path) -> None:
    files = sorted(dicom.image.iterdir())
    listed = folder / "series.txt"
    listed.write_text("\n".join(f"{file.parent.name}/{file.name}" for file in files[::-1]) + "\n")
    same = make_exam(Case(id="l", patient="l", image=listed), PLANES)
    assert np.array_equal(same.hu, make_exam(dicom, PLANES).hu)


def test_without_a_mask_the_label_says_whether_the_truth_is_known(dicom: Case) -> None:
    unknown = make_exam(replace(dicom, masks={}), PLANES)
    assert set(np.unique(unknown.truth)) == {UNKNOWN}
    healthy = make_exam(replace(dicom, masks={}, labels={"hemorrhage": 0.0}), PLANES)
    assert set(np.unique(healthy.truth)) == {0}
    sick = make_exam(replace(dicom, masks={}, labels={"hemorrhage": 1.0}), PLANES)
    assert not sick.known()


def test_neighbours_are_those_that_the_runner_shows(dicom: Case) -> None:
    exam = make_exam(dicom, PLANES)
    wanted = with_neighbours(torch.from_numpy(exam.hu.astype(np.float32)), exam.offsets_mm)
    for k in (0, 8, len(exam.hu) - 1):
        torch.testing.assert_close(exam.around(k), wanted[:, k])


def test_the_cache_is_used_and_made_anew_when_a_file_changes(dicom: Case, head: AcquiredSeries, tmp_path: Path) -> None:
    case = write_nifti_exam(head, tmp_path / "data", "n")
    cache = tmp_path / "cache"
    (first,), _ = load_exams([case], PLANES, cache, progress=False)
    (kept,) = cache.iterdir()
    stamp = (kept / "hu.npy").stat().st_mtime_ns
    (again,), _ = load_exams([case], PLANES, cache, progress=False)
    assert (kept / "hu.npy").stat().st_mtime_ns == stamp
    assert np.array_equal(first.truth, again.truth)
    assert not any(case.id in file.name for file in cache.rglob("*") if len(case.id) > 1)
    nifti_of(np.zeros_like(head.mask, np.uint8), head, case.masks["hemorrhage"].path)
    (changed,), _ = load_exams([case], PLANES, cache, progress=False)
    assert len(list(cache.iterdir())) == 2
    assert not (changed.truth == 1).any()


def test_exams_that_cannot_be_used_are_all_listed(dicom: Case, head: AcquiredSeries, tmp_path: Path) -> None:
    small = nifti_of(head.mask[:, :100].astype(np.uint8), head, tmp_path / "small.nii.gz")
    air = nifti_of(np.full(head.hu.shape, -1000, np.int16), head, tmp_path / "air.nii.gz")
    (tmp_path / "broken.nii.gz").write_bytes(b"no nifti")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    np.savez(tmp_path / "short.npz", mask=head.mask[:3])
    bad = [
        replace(dicom, id="size", masks={"hemorrhage": MaskFile(small)}),
        Case(id="air", patient="p", image=air),
        Case(id="broken", patient="p", image=tmp_path / "broken.nii.gz"),
        Case(id="none", patient="p", image=tmp_path / "empty"),
        replace(dicom, id="short", masks={"hemorrhage": MaskFile(tmp_path / "short.npz")}),
    ]
    with pytest.raises(ManifestError) as caught:
        load_exams([dicom, *bad], PLANES, tmp_path / "cache", progress=False)
    says = ["is 17 x 100 x 192, its image 17 x 192 x 192", "not_a_head", "no NIfTI file", "holds no DICOM", "17 slices"]
    assert len(caught.value.faults) == len(bad)
    for case, fault, part in zip(bad, caught.value.faults, says, strict=True):
        assert fault.startswith(f"exam {case.id}: ")
        assert part in fault
    exams, left_out = load_exams([dicom, *bad], PLANES, tmp_path / "cache", skip_unusable=True, progress=False)
    assert [exam.case.id for exam in exams] == ["dicom"]
    assert left_out == caught.value.faults

"""The built-in bundle as a plain MONAI bundle, run by MONAI's own command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from nibabel import orientations
from numpy.typing import NDArray

from dicomnode.cohort import nifti
from dicomnode.cohort.acquire import AcquiredSeries, Acquisition, acquire
from dicomnode.cohort.dicom_series import write_acquired
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.statistics import BleedKind
from dicomnode.errors import InconsistentGeometry, Refusal
from dicomnode.images.files import ReadError, read_image
from dicomnode.images.volume import read_volume
from dicomnode.records import Inputs
from dicomnode.zoo.bundle_run import LoadVolumed
from dicomnode.zoo.registry import BUILT_IN, Registry
from dicomnode.zoo.runner import Runner
from tests.conftest import BUNDLE_PATH

BUNDLE = BUILT_IN / "hemorrhage/bundle"
UNEVEN = tuple(float(z) for z in (*np.arange(-64.0, 10.0, 4.22), *np.arange(18.7, 82.0, 7.38)))


def scanned(positions: tuple[float, ...]) -> AcquiredSeries:
    """A tilted head with a bleed of 25 mL on one side."""
    head = make_head(5, bleeds=(BleedOrder(BleedKind.INTRAPARENCHYMAL, 25.0, 66.0),), spacing_mm=1.5)
    return acquire(
        head,
        Acquisition(
            positions_mm=positions, thickness_mm=5.0, tilt_deg=12.0, matrix=256, pixel_mm=0.9, centre_mm=(3.0, -2.0)
        ),
        seed=5,
    )


@pytest.fixture(scope="module")
def acquired() -> AcquiredSeries:
    return scanned(tuple(float(z) for z in np.arange(26) * 5.5 - 62))


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(Registry().get("hemorrhage"), threads=1)


def run(ct: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The command of the bundle's README."""
    command = ["run", "--config_file", str(BUNDLE / "configs/inference.json"), "--bundle_root", str(BUNDLE)]
    return subprocess.run(
        [sys.executable, "-m", "monai.bundle", *command, "--ct", str(ct), "--output_dir", str(out)],
        env={**os.environ, "PYTHONPATH": BUNDLE_PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def to_lps(image: Any) -> Any:
    """A NIfTI image with its axes toward left, back and crown: those of the volume."""
    wanted = orientations.axcodes2ornt(("L", "P", "S"))
    return image.as_reoriented(orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted))


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_a_nifti_file_gets_the_mask_of_the_node_on_its_own_grid(
    tmp_path: Path, acquired: AcquiredSeries, runner: Runner
) -> None:
    nifti.write(acquired, acquired.hu, tmp_path / "plain.nii.gz")
    # stored front to back and right to left, as other programs do
    turned = nibabel.load(tmp_path / "plain.nii.gz").as_reoriented(np.array([[1, -1], [0, 1], [2, 1]]))
    nibabel.save(turned, tmp_path / "head.nii.gz")
    done = run(tmp_path / "head.nii.gz", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    mask = nibabel.load(tmp_path / "out/head_hemorrhage.nii.gz")
    assert mask.shape == turned.shape
    assert np.allclose(mask.affine, turned.affine, atol=1e-4)
    expected = runner.outputs(Inputs(volume=read_image(tmp_path / "head.nii.gz")))["hemorrhage"] > 0.5
    seen = np.asarray(to_lps(mask).dataobj)
    assert np.array_equal(seen, expected.transpose(2, 1, 0))
    assert dice(seen.transpose(2, 1, 0) > 0, acquired.mask) > 0.7
    assert f"{tmp_path / 'out/head_hemorrhage.nii.gz'}: " in done.stdout


def test_a_dicom_folder_gets_the_mask_of_the_node(tmp_path: Path, acquired: AcquiredSeries, runner: Runner) -> None:
    paths = write_acquired(acquired, tmp_path / "scan")
    (tmp_path / "scan/AUTORUN.INF").write_text("[autorun]")
    done = run(tmp_path / "scan", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    mask = nibabel.load(tmp_path / "out/scan_hemorrhage.nii.gz")
    expected = runner.outputs(Inputs(volume=read_volume(paths)))["hemorrhage"] > 0.5
    assert np.array_equal(np.asarray(mask.dataobj), expected.transpose(2, 1, 0))
    assert np.allclose(mask.affine, nifti.affine_of(acquired), atol=1e-3)


def test_an_uneven_stack_has_no_affine_and_is_refused_with_the_way_out(tmp_path: Path) -> None:
    write_acquired(scanned(UNEVEN), tmp_path / "scan")
    with pytest.raises(InconsistentGeometry, match="dicomnode process") as caught:
        LoadVolumed(BUNDLE)({"path": tmp_path / "scan"})
    assert caught.value.refusal is Refusal.UNEVEN_STACK


def test_what_is_neither_nifti_nor_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.nii").write_text("no image")
    with pytest.raises(ReadError, match=r"note\.nii"):
        LoadVolumed(BUNDLE)({"path": tmp_path / "note.nii"})


def test_a_folder_with_two_ct_series_is_refused_with_their_uids_and_the_way_out(
    tmp_path: Path, acquired: AcquiredSeries
) -> None:
    first = write_acquired(acquired, tmp_path / "scan/thick")
    other = write_acquired(scanned(UNEVEN), tmp_path / "scan/thin")
    uids = [str(pydicom.dcmread(paths[0]).SeriesInstanceUID) for paths in (first, other)]
    with pytest.raises(ReadError, match="dicomnode process") as caught:
        LoadVolumed(BUNDLE)({"path": tmp_path / "scan"})
    assert all(
        f"{uid} ({len(paths)} images)" in str(caught.value) for uid, paths in zip(uids, (first, other), strict=True)
    )


def test_a_folder_without_a_ct_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan/AUTORUN.INF").write_text("[autorun]")
    with pytest.raises(ReadError, match="no CT image"):
        LoadVolumed(BUNDLE)({"path": tmp_path / "scan"})

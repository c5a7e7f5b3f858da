"""The synthetic scanner and its DICOM series."""

from __future__ import annotations

import csv
import dataclasses
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from dicomnode.cohort.acquire import Acquisition, acquire, slice_weights_mm
from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.dicom_series import SeriesIdentity, write_acquired
from dicomnode.cohort.head import BleedOrder, SyntheticHead, make_head
from dicomnode.cohort.make import DemoStudy, make_cohort, make_demo_study
from dicomnode.cohort.statistics import BleedKind
from dicomnode.dicom.geometry import tilt_deg
from dicomnode.images.volume import read_volume
from tests.tools.series import points_of

GE_POSITIONS = (*np.arange(-40.0, 13.0, 4.22), 14.0, *np.arange(21.4, 80.0, 7.38))
"""Like the real tilted head: 4 mm, one gap of about 1 mm, then 7 mm."""


def write_series(
    head: SyntheticHead,
    folder: Path,
    *,
    positions: Sequence[float] | None = None,
    tilt_deg: float = 0.0,
    thickness_mm: float = 5.0,
    kernel: str = "STANDARD",
    identity: SeriesIdentity | None = None,
) -> list[Path]:
    """Scan a head and write the series.

    Parameters
    ----------
    positions : z of each slice in head coordinates, any spacing; None covers the head every 5 mm.
    tilt_deg : gantry tilt: positions move along z while the slices lean, as a tilted gantry does; the pixels follow.

    Returns
    -------
    Paths in the order of the positions.
    """
    places = tuple(positions) if positions is not None else tuple(np.arange(-60.0, 90.0, 5.0).tolist())
    scan = Acquisition(positions_mm=places, thickness_mm=thickness_mm, tilt_deg=tilt_deg, kernel=kernel)
    return write_acquired(acquire(head, scan, seed=head.seed), folder, identity)


@pytest.fixture(scope="module")
def head() -> SyntheticHead:
    return make_head(21, bleeds=(BleedOrder(BleedKind.INTRAPARENCHYMAL, 30.0),), spacing_mm=2.0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoStudy:
    return make_demo_study(tmp_path_factory.mktemp("demo"))


def _with_marker(head: SyntheticHead, point_mm: tuple[float, float, float]) -> SyntheticHead:
    """Nothing but one Gaussian blob at (x, y, z)."""
    z, y, x = np.indices(head.hu.shape, dtype=np.float32) * 2.0
    squared = (x + head.origin_mm[2] - point_mm[0]) ** 2 + (y + head.origin_mm[1] - point_mm[1]) ** 2
    squared += (z + head.origin_mm[0] - point_mm[2]) ** 2
    return dataclasses.replace(head, hu=(1000 * np.exp(-squared / 128) - 1000).astype(np.float32))


@pytest.mark.parametrize("tilt", [0.0, 18.5, -12.0])
def test_pixels_lie_where_their_positions_say(head: SyntheticHead, tmp_path: Path, tilt: float) -> None:
    marker = (20.0, -30.0, 25.0)
    scan = Acquisition(
        positions_mm=tuple(np.arange(-60.0, 90.0, 4.0)),
        thickness_mm=4.0,
        tilt_deg=tilt,
        matrix=128,
        pixel_mm=1.8,
        centre_mm=(3.0, -5.0),
        noise_hu=0.0,
        holder=False,
    )
    volume = read_volume(write_acquired(acquire(_with_marker(head, marker), scan), tmp_path))
    weight = np.clip(volume.hu + 990.0, 0.0, None) * volume.stack.weights_mm[:, None, None]
    indices = np.stack(np.nonzero(weight), axis=-1)
    seen = np.average(points_of(volume.stack, indices), axis=0, weights=weight[weight > 0])
    assert seen == pytest.approx(marker, abs=0.5)
    assert tilt_deg(volume.stack) == pytest.approx(abs(tilt), abs=0.01)


def test_an_uneven_tilted_series_is_read_back_with_its_geometry(head: SyntheticHead, tmp_path: Path) -> None:
    scan = Acquisition(
        positions_mm=GE_POSITIONS, thickness_mm=4.0, tilt_deg=18.5, matrix=128, pixel_mm=1.8, noise_hu=2.0
    )
    acquired = acquire(head, scan, seed=3)
    paths = write_acquired(acquired, tmp_path)
    volume = read_volume(paths[::-1])
    assert volume.stack.positions_mm == pytest.approx(acquired.image_positions_mm, abs=1e-6)
    assert volume.stack.weights_mm == pytest.approx(slice_weights_mm(GE_POSITIONS, 18.5), abs=1e-4)
    inside = volume.hu > -900
    assert np.abs(volume.hu - acquired.hu)[inside & (acquired.hu < 3000)].max() <= 0.5001
    measured = (acquired.mask.sum((1, 2)) * volume.stack.weights_mm).sum() * volume.stack.pixel_area_mm2 / 1000
    assert measured == pytest.approx(acquired.volume_ml, rel=1e-4)


def test_the_mask_on_the_slices_has_the_painted_volume(head: SyntheticHead) -> None:
    acquired = acquire(
        head,
        Acquisition(
            positions_mm=tuple(np.arange(-60.0, 90.0, 3.0)), thickness_mm=3.0, tilt_deg=10.0, matrix=256, pixel_mm=0.9
        ),
    )
    assert acquired.volume_ml == pytest.approx(head.volume_ml, rel=0.08)


def test_a_calibration_offset_moves_every_value(head: SyntheticHead) -> None:
    plain = acquire(head, Acquisition(positions_mm=(10.0, 15.0), matrix=64, pixel_mm=3.5), seed=1)
    moved = acquire(head, Acquisition(positions_mm=(10.0, 15.0), matrix=64, pixel_mm=3.5, hu_offset=12.0), seed=1)
    assert np.allclose(moved.hu - plain.hu, 12.0, atol=1e-2)


def test_thick_slices_mix_skull_and_brain(head: SyntheticHead) -> None:
    top = float(head.origin_mm[0] + 2.0 * np.nonzero((head.labels == Tissue.WHITE_MATTER).any(axis=(1, 2)))[0].max())
    thin, thick = (
        acquire(
            head,
            Acquisition(positions_mm=(top, top + 9.0), thickness_mm=thickness, matrix=128, pixel_mm=1.8, noise_hu=0.0),
        ).hu
        for thickness in (1.0, 7.0)
    )
    between = [np.count_nonzero((hu > 90) & (hu < 400)) for hu in (thin, thick)]
    assert between[1] > 1.2 * between[0]


def test_the_same_call_writes_the_same_bytes(head: SyntheticHead, tmp_path: Path) -> None:
    scan = {"positions": (0.0, 5.0, 10.0), "tilt_deg": 5.0}
    first, second = (write_series(head, tmp_path / name, **scan) for name in "ab")  # type: ignore[arg-type]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_a_series_carries_its_identity(head: SyntheticHead, tmp_path: Path) -> None:
    identity = SeriesIdentity(patient_name="Müller^Zoë", patient_id="COHORT-0042", study_uid="1.2.3.4")
    ds = pydicom.dcmread(write_series(head, tmp_path, positions=(0.0, 5.0), kernel="BONE", identity=identity)[1])
    assert (str(ds.PatientName), ds.PatientID, ds.StudyInstanceUID) == ("Müller^Zoë", "COHORT-0042", "1.2.3.4")
    assert (ds.Rows, ds.Columns, ds.PixelRepresentation, ds.PixelPaddingValue) == (512, 512, 1, -2000)
    assert (ds.Modality, ds.StationName, ds.Manufacturer) == ("CT", "COHORT", "dicomnode cohort")
    assert (ds.ConvolutionKernel, ds.InstanceNumber) == ("BONE", 2)
    assert ds.SyntheticData == "YES"
    assert ds.pixel_array[0, 0] == -2000


@pytest.mark.tools
def test_every_file_satisfies_dciodvfy(demo: DemoStudy, head: SyntheticHead, tmp_path: Path) -> None:
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    tilted = write_series(head, tmp_path, positions=(0.0, 4.2, 11.6), tilt_deg=18.5)
    for path in (demo.paths[0], demo.paths[-1], *tilted):
        judged = pydicom.dcmread(path)
        del judged.SyntheticData  # newer than the validator's edition
        judged.save_as(tmp_path / "judged.dcm")
        done = subprocess.run(
            [dciodvfy, "-new", str(tmp_path / "judged.dcm")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stdout + done.stderr


def test_the_demo_study_is_a_whole_head_with_a_clear_bleed(demo: DemoStudy) -> None:
    volume = read_volume(demo.paths)
    assert volume.hu.shape == demo.mask.shape == (30, 512, 512)
    assert 20 <= demo.volume_ml <= 30
    assert 55 <= volume.hu[demo.mask].mean() <= 72


def test_a_cohort_has_a_manifest_masks_and_pictures(tmp_path: Path) -> None:
    manifest = make_cohort(tmp_path, patients=1, seed=4, progress=False)
    (row,) = csv.DictReader(manifest.read_text(encoding="utf-8").splitlines())
    paths = sorted((tmp_path / row["folder"]).glob("*.dcm"))
    assert row["id"] == pydicom.dcmread(paths[0], stop_before_pixels=True).PatientID == "COHORT-0001"
    volume = read_volume(paths)
    mask = np.load(tmp_path / "patient-0001" / "mask.npz")["mask"]
    assert mask.shape == volume.hu.shape
    measured = (mask.sum((1, 2)) * volume.stack.weights_mm).sum() * volume.stack.pixel_area_mm2 / 1000
    assert measured == pytest.approx(float(row["volume_ml"]), abs=2e-3)
    with Image.open(tmp_path / "patient-0001" / "contact_sheet.png") as picture:
        assert min(picture.size) >= 4 * 128

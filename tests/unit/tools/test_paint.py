"""The truth that other tests rely on is itself proved here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless

from dicomnode.images.volume import read_volume
from tests.tools.paint import Kind, PaintedTruth, brain_mask, paint_bleed
from tests.tools.series import ct_series, head_hu, tilted, voxel_points, write_series

UNEVEN = (*range(0, 72, 4), *range(73, 150, 7))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tilted head with two spacings and 2 mm pixels, padded outside."""
    folder = tmp_path_factory.mktemp("head")
    slices = ct_series(
        UNEVEN, matrix=96, pixel_spacing_mm=(2.0, 2.0), hu=head_hu, orientation=tilted(15), PixelPaddingValue=-1500
    )
    write_series(folder, slices)
    return folder


def changed_elements(before: Path, after: Path) -> set[str]:
    old, new = pydicom.dcmread(before), pydicom.dcmread(after)
    return {element.keyword for element in old if new[element.tag] != element}


def source_of(head: Path, truth: PaintedTruth) -> list[Path]:
    """The original files in stack order."""
    position = {float(pydicom.dcmread(path).ImagePositionPatient[2]): path for path in head.iterdir()}
    return [position[float(z)] for z in truth.stack.positions_mm[:, 2]]


@pytest.mark.parametrize("kind", ["intraparenchymal", "subdural"])
def test_the_painted_volume_is_the_wanted_one(head: Path, tmp_path: Path, kind: Kind) -> None:
    truth = paint_bleed(head, tmp_path, volume_ml=20, kind=kind)
    assert truth.volume_ml == pytest.approx(20, abs=0.03)  # one voxel is 0.03 mL at most
    by_hand = sum(mask.sum() * 4.0 * weight for mask, weight in zip(truth.mask, truth.stack.weights_mm, strict=True))
    assert truth.volume_ml == pytest.approx(by_hand / 1000)
    assert truth.mean_hu == pytest.approx(65, abs=0.5)


def test_a_subdural_is_as_high_as_real_ones_of_its_volume_and_a_film_higher(head: Path, tmp_path: Path) -> None:
    def height_mm(volume_ml: float, kind: Kind) -> float:
        truth = paint_bleed(head, tmp_path / f"{kind}-{volume_ml}", volume_ml=volume_ml, kind=kind)
        return float(np.ptp(voxel_points(truth.stack)[truth.mask][:, 2]))

    # quartiles of BHSD and Hssayeni, give or take a slice
    assert 31 - 5 <= height_mm(10, "subdural") <= 63 + 5
    assert 51 - 5 <= height_mm(25, "subdural") <= 79 + 5
    assert height_mm(10, "film") > height_mm(10, "subdural") + 20


def test_only_the_mask_is_painted_and_only_in_the_brain(head: Path, tmp_path: Path) -> None:
    truth = paint_bleed(head, tmp_path, volume_ml=20, hu=70)
    before, after = read_volume(source_of(head, truth)), read_volume(truth.paths)
    np.testing.assert_array_equal(before.hu != after.hu, truth.mask)
    assert (after.hu[truth.mask] == 70).all()
    assert (brain_mask(before) | ~truth.mask).all()
    assert after.sop_instance_uids == truth.sop_instance_uids


def test_the_bleed_is_an_ellipsoid_in_patient_coordinates_although_the_stack_is_sheared(
    head: Path, tmp_path: Path
) -> None:
    centre = np.array([10.0, -5.0, 80.0])
    truth = paint_bleed(head, tmp_path, volume_ml=30, centre_mm=centre)
    points = voxel_points(truth.stack)[truth.mask]
    np.testing.assert_allclose(points.mean(axis=0), centre, atol=1.0)
    # 30 mL = 4/3 pi (1 x 1.4 x 1.1) r^3: r = 16.7 mm.
    assert np.ptp(points[:, 0]) / 2 == pytest.approx(16.7, abs=2)
    assert np.ptp(points[:, 1]) / 2 == pytest.approx(16.7 * 1.4, abs=2)


def test_every_other_element_is_kept(head: Path, tmp_path: Path) -> None:
    truth = paint_bleed(head, tmp_path, volume_ml=20)
    uids = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
    for source, painted, mask in zip(source_of(head, truth), truth.paths, truth.mask, strict=True):
        assert changed_elements(source, painted) == (uids | {"PixelData"} if mask.any() else uids)


def test_the_uids_can_be_kept(head: Path, tmp_path: Path) -> None:
    truth = paint_bleed(head, tmp_path, volume_ml=20, new_uids=False)
    for source, painted, mask in zip(source_of(head, truth), truth.paths, truth.mask, strict=True):
        assert changed_elements(source, painted) == ({"PixelData"} if mask.any() else set())


def test_new_uids_are_of_one_study_and_series_and_differ_by_the_bleed(head: Path, tmp_path: Path) -> None:
    first = paint_bleed(head, tmp_path / "a", volume_ml=20)
    second = paint_bleed(head, tmp_path / "b", volume_ml=10)
    assert len(set(first.sop_instance_uids)) == len(UNEVEN)
    assert {pydicom.dcmread(path).SeriesInstanceUID for path in first.paths} == {first.series_uid}
    assert {pydicom.dcmread(path).StudyInstanceUID for path in first.paths} == {first.study_uid}
    assert not set(first.sop_instance_uids) & set(second.sop_instance_uids)
    assert first.study_uid != second.study_uid


def test_compressed_slices_are_painted_too(tmp_path: Path) -> None:
    slices = ct_series(range(0, 150, 5), matrix=64, pixel_spacing_mm=(3.0, 3.0), hu=head_hu)
    for ds in slices:
        ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    write_series(tmp_path / "in", slices)
    truth = paint_bleed(tmp_path / "in", tmp_path / "out", volume_ml=15)
    assert truth.mean_hu == pytest.approx(65, abs=0.5)


def test_a_bleed_larger_than_the_brain_is_refused(head: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no room"):
        paint_bleed(head, tmp_path, volume_ml=5000)


def test_a_block_without_a_skull_has_no_brain(tmp_path: Path) -> None:
    write_series(tmp_path / "in", ct_series(range(0, 40, 5)))
    with pytest.raises(ValueError, match="no brain"):
        paint_bleed(tmp_path / "in", tmp_path / "out", volume_ml=1)


@pytest.mark.real_data
def test_a_bleed_painted_into_the_real_ge_head_lies_within_it(real_data: Path, tmp_path: Path) -> None:
    truth = paint_bleed(real_data / "head_ct_ge", tmp_path, volume_ml=30)
    before = read_volume(sorted((real_data / "head_ct_ge").glob("*.dcm")))
    after = read_volume(truth.paths)
    assert truth.volume_ml == pytest.approx(30, abs=0.01)
    assert after.stack.volume_ml(truth.mask) == truth.volume_ml
    assert truth.mean_hu == pytest.approx(65, abs=0.5)
    np.testing.assert_array_equal(before.hu[~truth.mask], after.hu[~truth.mask])
    # It crosses the step from 4 to 7 mm slices.
    assert truth.mask[13].any()
    assert truth.mask[15].any()
    original = pydicom.dcmread(real_data / "head_ct_ge" / "16.dcm")
    painted = pydicom.dcmread(truth.paths[15])
    assert painted.PixelPaddingValue == original.PixelPaddingValue == -1500
    assert painted.pixel_array.dtype == original.pixel_array.dtype == np.int16
    assert painted.pixel_array[0, 0] == -1500

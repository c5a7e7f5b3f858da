"""Lesions and their measurements against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.measure.lesions import measure
from dicomnode.records import Volume
from tests.unit.encode.cases import EVEN, TILTED_UNEVEN, Geometry, head_hu, stack_of_geometry


def volume_of(geometry: Geometry) -> Volume:
    stack = stack_of_geometry(geometry)
    return Volume(head_hu(stack), stack, tuple(f"1.2.{i}" for i in range(len(stack.order))))


@pytest.fixture
def volume() -> Volume:
    return volume_of(EVEN)  # voxels of 1 x 1 x 5 mm


def empty(volume: Volume) -> NDArray[np.bool_]:
    return np.zeros(volume.hu.shape, dtype=bool)


def test_an_empty_mask_has_neither_total_nor_lesions(volume: Volume) -> None:
    total, lesions, labels = measure(empty(volume), volume)
    assert (total, lesions) == (None, ())
    assert labels.dtype == np.uint8
    assert not labels.any()


def test_every_one_of_three_hundred_lesions_has_its_own_number(volume: Volume) -> None:
    mask = empty(volume)
    slices, rows, columns = np.meshgrid(range(0, 6, 2), range(4, 24, 2), range(4, 24, 2), indexing="ij")
    mask[slices, rows, columns] = True
    _, lesions, labels = measure(mask, volume, detection_limit_ml=0.0)
    assert len(lesions) == 300
    assert np.unique(labels).tolist() == list(range(301))
    assert labels.dtype == np.uint16, "and no more bytes than that needs"


def test_a_box_has_its_volume_density_and_place(volume: Volume) -> None:
    mask = empty(volume)
    mask[2:5, 40:50, 30:34] = True
    volume.hu[2:5, 40:50, 30:34] = 60
    volume.hu[3, 45, 32] = 90
    total, lesions, _ = measure(mask, volume)
    assert total is not None
    assert len(lesions) == 1
    assert total.voxels == 120
    assert total.volume_ml == pytest.approx(120 * 5 / 1000)
    assert total.mean_hu == pytest.approx((119 * 60 + 90) / 120)
    assert total.max_hu == 90
    assert total.longest_diameter_mm == pytest.approx(np.hypot(10, 4))
    assert (total.first_slice, total.last_slice) == (2, 4)
    # Origin (-48, -64, 10), slices 5 mm apart; centre of columns 30..33 is 31.5, of rows 40..49 is 44.5.
    assert total.centroid_mm == pytest.approx((-48 + 31.5, -64 + 44.5, 10 + 15))


def test_lesions_are_sorted_by_volume_and_labelled_in_that_order(volume: Volume) -> None:
    mask = empty(volume)
    mask[1, 20:26, 20:26] = True  # 0.18 mL
    mask[6:9, 60:80, 40:60] = True  # 6 mL
    _, lesions, labels = measure(mask, volume)
    assert [round(lesion.volume_ml, 3) for lesion in lesions] == [6.0, 0.18]
    assert labels[7, 70, 50] == 1
    assert labels[1, 22, 22] == 2
    assert np.array_equal(labels > 0, mask)


def test_pieces_that_touch_by_a_corner_are_one_lesion(volume: Volume) -> None:
    mask = empty(volume)
    mask[4, 20:26, 20:26] = True
    mask[5, 26:32, 26:32] = True
    _, lesions, _ = measure(mask, volume)
    assert len(lesions) == 1
    assert (lesions[0].first_slice, lesions[0].last_slice) == (4, 5)


def test_small_pieces_count_nowhere(volume: Volume) -> None:
    mask = empty(volume)
    mask[6:9, 60:80, 40:60] = True
    mask[1, 20, 20:39] = True  # 19 voxels of 5 mm3: 0.095 mL
    total, lesions, labels = measure(mask, volume)
    assert total is not None
    assert len(lesions) == 1
    assert total.volume_ml == pytest.approx(6.0)
    assert labels[1, 20, 25] == 0


def test_a_piece_of_exactly_the_limit_is_a_lesion(volume: Volume) -> None:
    mask = empty(volume)
    mask[1, 20, 20:40] = True  # 20 voxels of 5 mm3
    _, lesions, _ = measure(mask, volume, detection_limit_ml=0.1)
    assert [lesion.voxels for lesion in lesions] == [20]


def test_a_mask_of_small_pieces_only_has_neither_total_nor_lesions(volume: Volume) -> None:
    mask = empty(volume)
    mask[1, 20, 20:23] = True
    mask[8, 90, 60] = True
    total, lesions, labels = measure(mask, volume)
    assert (total, lesions) == (None, ())
    assert not labels.any()


def test_the_total_of_two_lesions_does_not_measure_across_them(volume: Volume) -> None:
    mask = empty(volume)
    mask[4:7, 20:30, 20:30] = True
    mask[4:7, 90:98, 60:68] = True
    total, lesions, _ = measure(mask, volume)
    assert total is not None
    assert total.longest_diameter_mm == lesions[0].longest_diameter_mm == pytest.approx(np.hypot(10, 10))
    estimates = [lesion.abc2_ml for lesion in lesions]
    assert total.abc2_ml == pytest.approx(sum(e for e in estimates if e is not None))


def test_slices_of_a_tilted_uneven_stack_count_with_their_own_weight() -> None:
    volume = volume_of(TILTED_UNEVEN)
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[4:8, 50:60, 40:50] = True
    total, _, _ = measure(mask, volume)
    assert total is not None
    # Gaps 4, 4, 1.08, 7, 7: weights 4, 2.54, 4.04, 7 mm; pixels of 0.9 x 1 mm.
    assert total.volume_ml == pytest.approx(100 * 0.9 * (4 + 2.54 + 4.04 + 7) / 1000)


def test_the_centroid_of_a_tilted_stack_follows_the_slices() -> None:
    volume = volume_of(TILTED_UNEVEN)
    stack = volume.stack
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[6, 50:53, 40:43] = True
    total, _, _ = measure(mask, volume, detection_limit_ml=0.001)
    assert total is not None
    expected = stack.positions_mm[6] + 41 * 1.0 * stack.row_cosines + 51 * 0.9 * stack.column_cosines
    assert total.centroid_mm == pytest.approx(tuple(expected))
    # A stack taken for straight would have moved it along the normal instead of along the table.
    straight = stack.positions_mm[0] + stack.offsets_mm[6] * stack.normal
    assert np.linalg.norm(straight - stack.positions_mm[6]) > 5


def test_the_centroid_weighs_thick_slices_more() -> None:
    volume = volume_of(TILTED_UNEVEN)
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[6:8, 50, 40] = True  # weights 4.04 and 7
    total, _, _ = measure(mask, volume, detection_limit_ml=0.001)
    assert total is not None
    shares = np.array([4.04, 7.0]) / 11.04
    along = np.array(total.centroid_mm) @ volume.stack.normal
    in_plane = 50 * 0.9 * volume.stack.column_cosines @ volume.stack.normal
    assert along - in_plane == pytest.approx(shares @ volume.stack.offsets_mm[6:8])


def test_mask_and_volume_must_have_one_shape(volume: Volume) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        measure(np.zeros((3, 4, 5), dtype=bool), volume)

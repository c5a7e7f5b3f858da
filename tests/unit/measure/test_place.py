"""Left, right, midline and thirds, in heads that are turned, tilted, mirrored or off the middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dicomnode.measure.lesions import measure
from dicomnode.measure.anatomy.plane import mid_plane
from dicomnode.measure.place import MIDLINE_MM
from dicomnode.records import Level, Side, Volume
from tests.unit.encode.cases import EVEN, TILTED_UNEVEN, Geometry, head_hu, stack_of_geometry

HIGH = Geometry(offsets_mm=tuple(5.0 * i for i in range(12)), rows=192, columns=160, origin_mm=(-80.0, -96.0, 10.0))


def volume_of(geometry: Geometry) -> Volume:
    stack = stack_of_geometry(geometry)
    return Volume(head_hu(stack), stack, tuple(f"1.2.{i}" for i in range(len(stack.order))))


def region_at(volume: Volume, index: int, row: int, column: int) -> tuple[Side | None, Level | None]:
    mask = np.zeros(volume.hu.shape, bool)
    mask[index, row - 5 : row + 5, column - 5 : column + 5] = True
    _, (region,), _ = measure(mask, volume)
    return region.side, region.level


def test_the_patients_left_has_the_larger_x_whichever_way_the_rows_run() -> None:
    volume = volume_of(HIGH)  # columns run to the patient's left
    assert region_at(volume, 5, 90, 120)[0] is Side.LEFT
    assert region_at(volume, 5, 90, 40)[0] is Side.RIGHT
    mirrored = volume_of(replace(HIGH, row_cosines=(-1.0, 0.0, 0.0), origin_mm=(80.0, -96.0, 10.0)))
    assert region_at(mirrored, 5, 90, 120)[0] is Side.RIGHT


def test_near_the_plane_is_neither_left_nor_right() -> None:
    assert region_at(volume_of(HIGH), 5, 90, 80)[0] is Side.MIDLINE


def test_a_head_that_lies_off_the_middle_of_the_image_has_its_own_plane() -> None:
    volume = volume_of(HIGH)
    moved = replace(volume, hu=np.roll(volume.hu, 10, axis=2))
    plane = mid_plane(moved)
    assert plane is not None
    assert plane.distance_mm((10.0, 0.0, 30.0)) == pytest.approx(0.0, abs=1.5)
    assert region_at(moved, 5, 90, 90)[0] is Side.MIDLINE


def test_a_turned_head_has_a_turned_plane() -> None:
    geometry = replace(HIGH, rows=220, columns=220, origin_mm=(-110.0, -110.0, 10.0))
    volume = volume_of(geometry)
    rows, columns = np.mgrid[0:220, 0:220]
    angle = np.deg2rad(12.0)
    x, y = columns - 110.0, rows - 110.0
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    ellipse = (u / 65) ** 2 + (v / 90) ** 2
    plane = np.where(ellipse < 0.85, 32, np.where(ellipse < 1, 1000, -1000)).astype(np.float32)
    turned = replace(volume, hu=np.repeat(plane[None], len(volume.hu), axis=0))
    found = mid_plane(turned)
    assert found is not None
    ahead = (
        -70.0 * np.sin(angle),
        70.0 * np.cos(angle),
        30.0,
    )  # on the long axis of the ellipse, 70 mm from the middle
    assert abs(ahead[0]) > MIDLINE_MM
    assert abs(found.distance_mm(ahead)) < 3.0


def test_without_a_skull_no_side_is_told() -> None:
    volume = volume_of(HIGH)
    soft = replace(volume, hu=np.minimum(volume.hu, 60))
    assert region_at(soft, 5, 90, 120) == (None, None)


@pytest.mark.parametrize("geometry", [EVEN, TILTED_UNEVEN])
def test_thirds_go_up_to_the_crown(geometry: Geometry) -> None:
    volume = volume_of(geometry)
    last = len(volume.hu) - 1
    assert [region_at(volume, index, 64, 48)[1] for index in (0, last)] == [Level.LOWER, Level.UPPER]


def test_a_reversed_stack_has_the_same_thirds() -> None:
    down = volume_of(replace(HIGH, row_cosines=(-1.0, 0.0, 0.0)))  # the normal points to the feet
    assert down.stack.normal[2] < 0
    assert [region_at(down, index, 90, 40)[1] for index in (0, 11)] == [Level.UPPER, Level.LOWER]

"""Midline shift and septum in hand-made blocks of head coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.measure.anatomy.midline import (
    ACROSS_MM,
    BACK_MM,
    UP_MM,
    Block,
    inner_tables_mm,
    midline_of,
    septum_of,
)

BRAIN_HU, FLUID_HU = 30.0, 8.0


def block(septum_mm: float, *, horns: tuple[bool, bool] = (True, True)) -> Block:
    """Two horns of 8 mm beside a septum of 3 mm, in brain, within a skull of 140 mm."""
    line = np.full(len(ACROSS_MM), BRAIN_HU, np.float32)
    left = (septum_mm + 1.5 < ACROSS_MM) & (septum_mm + 9.5 > ACROSS_MM)
    right = (septum_mm - 1.5 > ACROSS_MM) & (septum_mm - 9.5 < ACROSS_MM)
    for there, horn in zip(horns, (left, right), strict=True):
        line[horn & there] = FLUID_HU
    line[np.abs(ACROSS_MM) > 70.0] = 900.0
    hu = np.broadcast_to(line, (len(UP_MM), len(BACK_MM), len(line))).copy()
    return Block(hu=hu, brain_hu=BRAIN_HU, fluid_hu=FLUID_HU)


def with_(shape: Block, hu: NDArray[np.float32]) -> Block:
    return Block(hu=hu, brain_hu=shape.brain_hu, fluid_hu=shape.fluid_hu)


@pytest.mark.parametrize("shift_mm", [-9.0, -4.0, 0.0, 3.0, 6.0, 12.0])
def test_the_shift_is_that_of_the_septum_positive_to_the_left(shift_mm: float) -> None:
    found = midline_of(block(shift_mm))
    assert found is not None
    assert found.shift_mm == pytest.approx(shift_mm, abs=0.6)
    assert found.width_mm == pytest.approx(140.0, abs=2.0)


def test_further_aside_than_two_horns_can_be_nothing_is_measured() -> None:
    assert midline_of(block(14.0)) is not None
    assert midline_of(block(17.0)) is None


def test_with_one_horn_nothing_is_measured() -> None:
    assert midline_of(block(5.0, horns=(True, False))) is None


def test_a_bleed_between_its_oedema_is_no_septum() -> None:
    shape = block(0.0)
    hu = np.full_like(shape.hu, BRAIN_HU)
    hu[:, :, np.abs(ACROSS_MM - 15.0) < 9.0] = 14.0
    hu[:, :, np.abs(ACROSS_MM - 15.0) < 4.0] = 65.0
    hu[:, :, np.abs(ACROSS_MM) > 70.0] = 900.0
    assert midline_of(with_(shape, hu)) is None


def test_profiles_that_contradict_each_other_measure_nothing() -> None:
    left, right = block(10.0), block(-10.0)
    hu = left.hu.copy()
    hu[:, ::2] = right.hu[:, ::2]
    assert midline_of(with_(left, hu)) is None


def test_a_flat_profile_has_no_septum() -> None:
    assert septum_of(np.zeros(len(ACROSS_MM), np.float32)) is None
    assert septum_of(np.ones(len(ACROSS_MM), np.float32)) is None


def test_without_bone_on_both_sides_there_is_no_width() -> None:
    line = np.full(len(ACROSS_MM), BRAIN_HU, np.float32)
    assert inner_tables_mm(line) is None
    line[ACROSS_MM > 70.0] = 900.0
    assert inner_tables_mm(line) is None

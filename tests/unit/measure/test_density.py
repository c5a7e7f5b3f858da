"""Marks that are too dense to be blood, against the brain of the same exam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.measure.density import DenseRule, without_dense
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import Volume
from tests.unit.encode.cases import EVEN, case_of

RULE = DenseRule(above_brain_hu=75.0, share=0.2, least_ml=0.1)


@pytest.fixture
def marked() -> tuple[Volume, NDArray[np.bool_]]:
    """A bleed of 65 HU of 2 mL, and a mark along bone: a third of it 200 HU, the rest brain, mean below 90 HU."""
    volume = case_of(EVEN).volume
    hu, mask = volume.hu.copy(), np.zeros(volume.hu.shape, bool)
    hu[4:6, 30:50, 30:40] = 65
    mask[4:6, 30:50, 30:40] = True
    hu[8, 80:90, 40:49] = 32
    hu[8, 80:90, 40:43] = 200
    mask[8, 80:90, 40:49] = True
    return replace(volume, hu=hu), mask


def test_a_mark_of_which_much_is_bone_is_taken_out_and_told_and_the_bleed_stays(
    marked: tuple[Volume, NDArray[np.bool_]],
) -> None:
    volume, mask = marked
    assert volume.hu[8, 80:90, 40:49].mean() < 90  # the mean is that of blood
    kept, dense = without_dense(mask, volume, RULE)
    assert (dense.pieces, dense.volume_ml) == (1, pytest.approx(0.45))
    assert kept[4:6].sum() == mask[4:6].sum()
    assert not kept[8].any()


@pytest.mark.parametrize("offset_hu", [-15.0, 15.0])
def test_the_brain_is_the_yardstick_whatever_the_scanner_says(
    marked: tuple[Volume, NDArray[np.bool_]], offset_hu: float
) -> None:
    volume, mask = marked
    moved = replace(volume, hu=volume.hu + np.float32(offset_hu))
    assert without_dense(mask, moved, RULE)[1] == without_dense(mask, volume, RULE)[1]


def test_a_piece_below_the_detection_limit_is_not_told_as_dense(marked: tuple[Volume, NDArray[np.bool_]]) -> None:
    volume, mask = marked
    kept, dense = without_dense(mask, volume, replace(RULE, least_ml=0.5))
    assert (dense.pieces, kept[8].any()) == (0, True)


def test_the_commonest_soft_tissue_is_the_brain() -> None:
    found = commonest_soft_tissue_hu(case_of(EVEN).volume.hu)
    assert found == pytest.approx(32, abs=1.5)
    assert commonest_soft_tissue_hu(np.full((2, 3), -1000.0)) is None

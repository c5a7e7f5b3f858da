"""A forecast held against what came: errors where something changed, whoever is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.records import Volume
from dicomnode.zoo.followup.course import course_figures
from dicomnode.zoo.followup.grid import brain_of
from tests.unit.train.heads import acquired_head
from tests.unit.zoo.volumes import volume_from

STILL = np.eye(4)
DARKER_HU = -12.0


@pytest.fixture(scope="module")
def first() -> Volume:
    return volume_from(acquired_head(3))


def ball(volume: Volume, across_mm: float, radius_mm: float) -> NDArray[np.bool_]:
    """(slices, rows, columns) within the brain, so far to the side of its middle."""
    brain, stack = brain_of(volume), volume.stack
    slices, rows, columns = ndimage.center_of_mass(brain)
    up = (stack.offsets_mm - stack.offsets_mm[int(slices)])[:, None, None]
    down = (np.arange(brain.shape[1]) - rows)[None, :, None] * stack.row_spacing_mm
    beside = (np.arange(brain.shape[2]) - columns)[None, None, :] * stack.column_spacing_mm - across_mm
    return np.asarray((up**2 + down**2 + beside**2 < radius_mm**2) & brain)


def none(volume: Volume) -> NDArray[np.bool_]:
    return np.zeros(volume.hu.shape, bool)


def changed(volume: Volume, where: NDArray[np.bool_], by_hu: float) -> Volume:
    return replace(volume, hu=volume.hu + np.float32(by_hu) * where)


def test_half_of_a_change_that_was_foretold_leaves_half_of_the_error(first: Volume) -> None:
    infarct = ball(first, 30.0, 18.0)
    later, forecast = (changed(first, infarct, share * DARKER_HU) for share in (1.0, 0.5))
    told = course_figures(first, forecast.hu, later, STILL, none(later))
    assert told.unchanged_hu is not None
    assert told.error_hu == pytest.approx(told.unchanged_hu / 2, rel=0.1)
    assert 0.6 * abs(DARKER_HU) < told.unchanged_hu <= abs(DARKER_HU) + 0.1
    true_ml = first.stack.volume_ml(infarct)
    assert told.changed_ml == pytest.approx(true_ml, rel=0.35)
    assert told.outside_hu == pytest.approx(told.outside_unchanged_hu, abs=0.1)
    assert (told.shift_mm, told.turn_deg) == (0.0, 0.0)


def test_a_change_that_was_foretold_in_vain_counts_as_one(first: Volume) -> None:
    forecast = changed(first, ball(first, -30.0, 18.0), DARKER_HU)
    told = course_figures(first, forecast.hu, first, STILL, none(first))
    assert told.unchanged_hu == 0.0
    assert told.error_hu is not None
    assert told.error_hu > 0.6 * abs(DARKER_HU)


def test_a_bleed_that_is_marked_is_no_error_of_the_forecast(first: Volume) -> None:
    bleed = ball(first, 30.0, 14.0)
    later = changed(first, bleed, 40.0)
    counted = course_figures(first, first.hu, later, STILL, none(later))
    left_out = course_figures(first, first.hu, later, STILL, bleed)
    assert counted.error_hu is not None
    assert counted.error_hu > 15.0
    assert (left_out.error_hu, left_out.changed_ml) == (None, 0.0)


def test_another_scanner_whose_hu_lie_higher_has_changed_nothing(first: Volume) -> None:
    later = replace(first, hu=first.hu + np.float32(6.0))
    told = course_figures(first, first.hu, later, STILL, none(later))
    assert told.changed_ml == 0.0
    assert told.outside_hu is not None
    assert told.outside_hu < 1.0


def test_how_the_head_was_moved_is_told_about_its_middle(first: Volume) -> None:
    motion = np.eye(4)
    motion[:3, 3] = (3.0, 0.0, 4.0)
    assert course_figures(first, first.hu, first, motion, none(first)).shift_mm == pytest.approx(5.0)

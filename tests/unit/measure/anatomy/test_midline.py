"""Midline shift, inner tables and Evans index in hand-made blocks, and the shift of painted heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dicomnode.cohort.edition import BENT
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.patients import Site
from dicomnode.cohort.scene import make_anatomy
from dicomnode.measure.anatomy.head import head_of
from dicomnode.measure.anatomy.looking import Place
from dicomnode.measure.anatomy.midline import (
    ACROSS_MM,
    BACK_MM,
    LEAST_SURE,
    UP_MM,
    Block,
    inner_tables_mm,
    midline_of,
)
from dicomnode.measure.place import Places
from dicomnode.records import HeadMeasures, Volume
from dicomnode.train.anatomy.shifted import Scanned, scanned

BRAIN_HU, FLUID_HU = 30.0, 8.0
SURE = Place(x_mm=6.0, y_mm=-10.0, sureness=0.9)


def block() -> Block:
    """Brain within a skull of 140 mm."""
    line = np.full(len(ACROSS_MM), BRAIN_HU, np.float32)
    line[np.abs(ACROSS_MM) > 70.0] = 900.0
    hu = np.broadcast_to(line, (len(UP_MM), len(BACK_MM), len(line))).copy()
    return Block(hu=hu, brain_hu=BRAIN_HU, fluid_hu=FLUID_HU)


def test_the_shift_is_the_way_of_the_septum_from_the_plane_of_the_frame() -> None:
    found = midline_of(block(), SURE, 0.0)
    assert found is not None
    assert found.shift_mm == 6.0
    assert found.width_mm == pytest.approx(140.0, abs=2.0)


def test_of_a_septum_that_is_not_sure_or_too_far_aside_nothing_is_measured() -> None:
    assert midline_of(block(), replace(SURE, sureness=LEAST_SURE - 0.01), 0.0) is None
    assert midline_of(block(), replace(SURE, x_mm=-21.0), 0.0) is None


def test_a_plane_that_lies_beside_that_of_the_frame_is_allowed_for() -> None:
    found = midline_of(block(), SURE, 1.5)
    assert found is not None
    assert (found.shift_mm, found.septum_mm) == (4.5, 6.0)


def test_without_bone_on_both_sides_there_is_no_width() -> None:
    line = np.full(len(ACROSS_MM), BRAIN_HU, np.float32)
    assert inner_tables_mm(line) is None
    line[ACROSS_MM > 70.0] = 900.0
    assert inner_tables_mm(line) is None


BLEED = Lesions(side=-1, site_of_bleed="basal ganglia", place_mm=(-26.0, -4.0, 6.0), iph_ml=45.0, oedema_ml=20.0)


def head(lesions: Lesions) -> Scanned:
    seed = 990_000
    return scanned(make_anatomy(seed, Lesions(), spacing_mm=1.8, edition=BENT), lesions, BENT, Site.A)


def measured(volume: Volume) -> HeadMeasures:
    frame = Places(volume).frame
    assert frame is not None
    return head_of(volume, frame)


@pytest.fixture(scope="module")
def pushed() -> Scanned:
    """A bleed of the right basal ganglia has pushed the septum to the left."""
    return head(BLEED)


def test_a_painted_septum_that_was_pushed_is_measured_where_it_is(pushed: Scanned) -> None:
    assert pushed.shift_mm > 4.0
    assert measured(pushed.volume).midline_shift_mm == pytest.approx(pushed.shift_mm, abs=1.5)


def test_a_mirrored_head_has_the_shift_to_the_other_side(pushed: Scanned) -> None:
    mirrored = replace(pushed.volume, hu=np.ascontiguousarray(pushed.volume.hu[..., ::-1]))
    assert measured(mirrored).midline_shift_mm == pytest.approx(-pushed.shift_mm, abs=1.5)


def test_a_straight_head_has_none() -> None:
    straight = head(Lesions())
    assert straight.pushed_mm == 0.0
    assert straight.shift_mm == pytest.approx(0.0, abs=1.5)  # a head is bent
    assert measured(straight.volume).midline_shift_mm == pytest.approx(straight.shift_mm, abs=1.2)

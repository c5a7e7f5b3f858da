"""What bleeds say of a midline shift that seems to be there."""

from __future__ import annotations

import pytest

from dicomnode.measure.anatomy.head import beside_bleeds
from dicomnode.records import HeadMeasures, Region, Side

HEAD = HeadMeasures(likeness=0.9, midline_shift_mm=6.0, inner_width_mm=140.0, evans_index=0.25)


def bleed(volume_ml: float, side: Side) -> Region:
    """Only its volume and its side matter."""
    return Region(
        voxels=1000,
        volume_ml=volume_ml,
        abc2_ml=None,
        mean_hu=60.0,
        max_hu=80.0,
        longest_diameter_mm=30.0,
        first_slice=3,
        last_slice=9,
        centroid_mm=(0.0, 0.0, 0.0),
        side=side,
    )


def test_a_septum_that_seems_to_lie_towards_a_large_bleed_is_not_told() -> None:
    told = beside_bleeds(HEAD, [bleed(30.0, Side.LEFT), bleed(4.0, Side.RIGHT)])
    assert told == HeadMeasures(likeness=0.9)


@pytest.mark.parametrize(
    "bleeds",
    [
        pytest.param([bleed(30.0, Side.RIGHT)], id="away from it"),
        pytest.param([bleed(2.0, Side.LEFT)], id="too small to push"),
        pytest.param([bleed(30.0, Side.LEFT), bleed(20.0, Side.RIGHT)], id="on both sides"),
        pytest.param([bleed(30.0, Side.MIDLINE)], id="in the middle"),
        pytest.param([], id="no blood"),
    ],
)
def test_any_other_shift_is_told_as_it_is(bleeds: list[Region]) -> None:
    assert beside_bleeds(HEAD, bleeds) == HEAD


def test_a_shift_below_what_is_told_and_a_head_without_one_stay() -> None:
    slight = HeadMeasures(likeness=0.9, midline_shift_mm=2.0, evans_index=0.25)
    assert beside_bleeds(slight, [bleed(30.0, Side.LEFT)]) == slight
    assert beside_bleeds(None, [bleed(30.0, Side.LEFT)]) is None

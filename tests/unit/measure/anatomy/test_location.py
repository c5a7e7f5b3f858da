"""In which region a lesion lies, by hand-placed balls in head coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.measure.anatomy.location import Location, location_of, part_at
from dicomnode.records import BrainPart


def ball(centre_mm: tuple[float, float, float], volume_ml: float) -> NDArray[np.float64]:
    """Points on a millimetre grid, each of 0.001 mL."""
    radius = np.cbrt(3000.0 * volume_ml / (4.0 * np.pi))
    reach = int(radius) + 2
    grid = np.indices((2 * reach + 1,) * 3).reshape(3, -1).T - reach
    return np.asarray(grid[np.linalg.norm(grid, axis=1) < radius] + np.array(centre_mm))


def located(*balls: NDArray[np.float64]) -> Location:
    points = np.concatenate(balls)
    return location_of(points, np.full(len(points), 0.001))


@pytest.mark.parametrize(
    ("centre_mm", "part"),
    [
        ((26.0, -4.0, 6.0), BrainPart.BASAL_GANGLIA),
        ((-26.0, -4.0, 6.0), BrainPart.BASAL_GANGLIA),
        ((11.0, 7.0, 5.0), BrainPart.THALAMUS),
        ((28.0, -42.0, 26.0), BrainPart.FRONTAL),
        ((34.0, 26.0, 40.0), BrainPart.PARIETAL),
        ((47.0, -4.0, -14.0), BrainPart.TEMPORAL),
        ((24.0, 60.0, 10.0), BrainPart.OCCIPITAL),
        ((22.0, 50.0, -42.0), BrainPart.CEREBELLUM),
        ((0.0, 20.0, -36.0), BrainPart.BRAINSTEM),
    ],
)
def test_the_region_is_that_of_the_centre_however_large_the_bleed(
    centre_mm: tuple[float, float, float], part: BrainPart
) -> None:
    assert part_at(np.array(centre_mm)) is part
    assert located(ball(centre_mm, 3.0)).parts == (part,)
    assert located(ball(centre_mm, 40.0)).parts[0] is part


def test_near_a_border_both_regions_are_named_the_likelier_first() -> None:
    # the thalamus ends, and the basal ganglia begin, about 20 mm from the midline
    parts = located(ball((19.0, 2.0, 4.0), 2.0)).parts
    assert set(parts) == {BrainPart.BASAL_GANGLIA, BrainPart.THALAMUS}
    assert parts[0] is part_at(np.array((19.0, 2.0, 4.0)))


def test_a_deep_bleed_pushes_the_ventricle_away_and_is_not_in_it() -> None:
    assert located(ball((26.0, -4.0, 6.0), 60.0)).ventricular_share < 0.02


def test_blood_in_the_other_ventricle_is_counted_as_such() -> None:
    bleed, across = ball((-13.0, 7.0, 5.0), 8.0), ball((9.0, 0.0, 20.0), 0.9)
    found = located(bleed, across)
    assert found.parts == (BrainPart.THALAMUS,)
    assert found.ventricular_share == pytest.approx(len(across) / (len(bleed) + len(across)), abs=0.03)


def test_the_shares_make_the_whole() -> None:
    found = located(ball((30.0, 12.0, 30.0), 30.0))
    assert sum(share for _, share in found.shares) + found.ventricular_share == pytest.approx(1.0)
    assert [share for _, share in found.shares] == sorted((share for _, share in found.shares), reverse=True)

"""The same place across the midline, in a brain whose halves differ."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnode.measure.anatomy.mirror import mirror_hu
from tests.unit.measure.anatomy.grids import SAME, coordinates, seen, skull_and_brain

LEFT_MM = np.array([[x, 10.0, 30.0] for x in np.arange(20.0, 41.0)])


def test_a_lesion_on_the_left_is_compared_with_the_right() -> None:
    hu = skull_and_brain()
    x, _, _ = coordinates()
    hu[(hu < 100.0) & (hu > 0.0) & (x > 0.0)] = 62.0
    assert mirror_hu(seen(hu), SAME, LEFT_MM) == pytest.approx(30.0)
    assert mirror_hu(seen(hu), SAME, LEFT_MM * [-1.0, 1.0, 1.0]) == pytest.approx(62.0)


def test_where_bone_or_nothing_lies_across_it_is_not_compared() -> None:
    hu = skull_and_brain()
    x, _, _ = coordinates()
    hu[x < 0.0] = 900.0
    assert mirror_hu(seen(hu), SAME, LEFT_MM) is None
    assert mirror_hu(seen(hu), SAME, LEFT_MM + np.array([0.0, 0.0, 500.0])) is None

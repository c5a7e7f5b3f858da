"""A scan with fewer pixels."""

from __future__ import annotations

import numpy as np

from dicomnode.records import Volume
from dicomnode.zoo.networks.lighter import lighter
from tests.unit.zoo.volumes import make_volume


def fine_volume() -> Volume:
    """Four slices of 11 x 8 pixels of 0.4 x 0.5 mm."""
    hu = np.arange(4 * 11 * 8, dtype=np.float32).reshape(4, 11, 8)
    positions = np.array([[1.0, 2.0, 5.0 * k] for k in range(4)])
    return make_volume(hu, positions, np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), (0.4, 0.5))


def test_a_pixel_is_the_mean_of_those_in_it_and_lies_in_their_middle() -> None:
    fine = fine_volume()
    given = lighter(fine)
    assert given.hu.shape == (4, 5, 4)
    assert (given.stack.row_spacing_mm, given.stack.column_spacing_mm) == (0.8, 1.0)
    assert given.hu[1, 2, 3] == fine.hu[1, 4:6, 6:8].mean()
    assert given.stack.positions_mm[3].tolist() == [1.25, 2.2, 15.0]


def test_a_coarse_scan_stays_as_it_is() -> None:
    once = lighter(fine_volume())
    assert lighter(once) is once

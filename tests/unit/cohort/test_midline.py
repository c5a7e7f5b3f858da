"""The ideal midline of a painted head: between the ends of its falx."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from dicomnode.cohort.edition import BENT
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.midline import attachments_mm, block_origin_mm, falx_mm, shift_from_ideal_mm
from dicomnode.cohort.painter import Anatomy
from dicomnode.cohort.scene import make_anatomy


@pytest.fixture(scope="module")
def base() -> Anatomy:
    return make_anatomy(990_001, Lesions(), spacing_mm=2.4, edition=BENT)


def test_the_ends_lie_on_the_falx_just_below_the_skull_in_front_and_behind(base: Anatomy) -> None:
    ends = attachments_mm(base)
    index = ((ends - block_origin_mm(base.canvas)) / base.canvas.spacing_mm).T[::-1]
    aside, deep, height = (
        map_coordinates(field, index, order=1) for field in (falx_mm(base), base.distance, base.canvas.z)
    )
    assert aside == pytest.approx([0.0, 0.0], abs=0.4)
    assert deep == pytest.approx([-3.0, -3.0], abs=1.5)
    assert height == pytest.approx([16.0, 16.0], abs=1.5)
    front, back = (base.canvas.rotation @ end for end in ends)
    assert front[1] < -55.0 < 55.0 < back[1]


def test_what_lies_on_the_line_is_not_shifted_and_what_lies_beside_it_is_by_as_much(base: Anatomy) -> None:
    front, back = attachments_mm(base)
    between = front + 0.4 * (back - front)
    left = base.canvas.rotation.T @ np.array([1.0, 0.0, 0.0])
    assert shift_from_ideal_mm(base, between) == pytest.approx(0.0, abs=1e-6)
    assert shift_from_ideal_mm(base, between + 5.0 * left) == pytest.approx(5.0, abs=1e-6)
    assert shift_from_ideal_mm(base, between - 3.0 * left) == pytest.approx(-3.0, abs=1e-6)

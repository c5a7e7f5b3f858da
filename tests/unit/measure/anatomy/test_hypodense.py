"""How much of a hand-made brain is hypodense."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.measure.anatomy.hypodense import hypodense_percent
from tests.unit.measure.anatomy.grids import BRAIN_HU, SAME, coordinates, seen, skull_and_brain

DARK_HU, CSF_HU = 17.0, 4.0


def ball(x_mm: float) -> NDArray[np.bool_]:
    """22 mm about a place behind the ventricles' bodies, high up."""
    x, y, z = coordinates()
    return np.asarray((x - x_mm) ** 2 + (y - 20.0) ** 2 + (z - 45.0) ** 2 < 22.0**2)


def share(hu: NDArray[np.float32]) -> float:
    found = hypodense_percent(seen(hu), SAME, BRAIN_HU)
    assert found is not None
    return found


def painted(*balls: NDArray[np.bool_], hu: float = DARK_HU) -> NDArray[np.float32]:
    head = skull_and_brain()
    for one in balls:
        head[one] = hu
    return head


def test_an_even_brain_has_no_hypodense_share() -> None:
    assert share(skull_and_brain()) == 0.0


def test_a_dark_patch_is_counted_and_two_are_twice_as_much() -> None:
    one = share(painted(ball(38.0)))
    assert 3.0 < one < 8.0
    assert share(painted(ball(38.0), ball(-38.0))) == pytest.approx(2.0 * one, rel=0.05)


def test_what_is_only_a_little_darker_is_not_counted() -> None:
    assert share(painted(ball(38.0), hu=BRAIN_HU - 6.0)) == 0.0


def test_fluid_and_what_touches_it_is_not_counted() -> None:
    assert share(painted(ball(38.0), hu=CSF_HU)) == pytest.approx(0.0, abs=0.2)


def test_blood_and_what_touches_it_is_not_counted() -> None:
    assert share(painted(ball(38.0), hu=65.0)) == pytest.approx(0.0, abs=0.2)


def test_where_hardly_any_brain_is_seen_nothing_is_told() -> None:
    hu = np.full_like(skull_and_brain(), -1000.0)
    assert hypodense_percent(seen(hu), SAME, BRAIN_HU) is None

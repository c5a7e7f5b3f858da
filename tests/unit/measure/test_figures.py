"""One way of rounding."""

from __future__ import annotations

import pytest

from dicomnode.measure.figures import Millilitres, rounded_ml, rounded_probability


@pytest.mark.parametrize(
    ("volume_ml", "shown"), [(26.94, 26.9), (9.996, 10.0), (9.994, 9.99), (0.349, 0.35), (-1.499, -1.5)]
)
def test_volumes_have_three_figures_or_hundredths(volume_ml: float, shown: float) -> None:
    assert rounded_ml(volume_ml) == shown


@pytest.mark.parametrize(
    ("probability", "shown"), [(0.5588, 0.55), (0.56, 0.56), (0.5649, 0.56), (0.08, 0.08), (0.999, 1.0)]
)
def test_a_probability_never_crosses_its_threshold_by_rounding(probability: float, shown: float) -> None:
    assert rounded_probability(probability, 0.56) == shown


def test_a_volume_with_its_unit_is_rounded_as_everywhere() -> None:
    told = [f"{Millilitres(volume)}" for volume in (26.94, 3.456, 9.996, 0.0)]
    assert told == ["26.9 mL", "3.46 mL", "10.0 mL", "0.00 mL"]

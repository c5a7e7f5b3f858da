"""Where a network sees something, in maps made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnode.measure.anatomy.looking import learned, likelihood, placed
from dicomnode.measure.anatomy.septum import SEPTUM


def bump(x_mm: float, y_mm: float) -> np.ndarray:
    x = np.exp(-0.5 * ((SEPTUM.across_mm - x_mm) / 1.2) ** 2)
    y = np.exp(-0.5 * ((SEPTUM.back_mm - y_mm) / 3.6) ** 2)
    both = (y[:, None] * x).astype(np.float32)
    return np.asarray(both / both.sum())


@pytest.mark.parametrize(("x_mm", "y_mm"), [(0.0, -10.0), (6.3, -14.5), (-11.2, -3.0)])
def test_a_place_lies_between_the_points_of_the_grid(x_mm: float, y_mm: float) -> None:
    place = placed(SEPTUM, bump(x_mm, y_mm))
    assert place.x_mm == pytest.approx(x_mm, abs=0.2)
    assert place.y_mm == pytest.approx(y_mm, abs=0.8)
    assert place.sureness > 0.95


def test_two_places_that_are_alike_make_neither_sure() -> None:
    place = placed(SEPTUM, (bump(8.0, -10.0) + bump(-8.0, -10.0)) / 2)
    assert place.sureness == pytest.approx(0.5, abs=0.03)


def test_what_is_likely_in_a_head_is_likely_on_the_other_side_of_the_mirrored_head() -> None:
    hu = np.random.default_rng(0).normal(0.0, 10.0, SEPTUM.shape)
    seen = likelihood(SEPTUM.channels_of(hu), learned(SEPTUM.name))
    mirrored = likelihood(SEPTUM.channels_of(hu[..., ::-1]), learned(SEPTUM.name))
    assert mirrored[:, ::-1] == pytest.approx(seen, abs=1e-6)
    assert seen.sum() == pytest.approx(1.0, abs=1e-5)


def test_what_lies_outside_of_the_scan_is_taken_for_brain() -> None:
    assert SEPTUM.channels_of(np.full(SEPTUM.shape, np.nan)) == pytest.approx(
        SEPTUM.channels_of(np.zeros(SEPTUM.shape))
    )

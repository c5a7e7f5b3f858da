"""What counts as a head: brain within a skull, whatever lies around it and however noisy its slices are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.errors import Refusal, SeriesError
from dicomnode.records import Volume
from dicomnode.zoo.head_check import brain_mask
from tests.unit.zoo.volumes import make_volume

PIXELS, PIXEL_MM, SLICES, SLICE_MM, NECK = 128, 2.0, 80, 1.25, 20
SKULL_MM, BRAIN_MM, HOLDER_MM = 72.0, 65.0, (110.0, 116.0)


def radius_mm() -> NDArray[np.float64]:
    """(rows, columns) distance of each pixel from the middle."""
    rows, columns = (np.indices((PIXELS, PIXELS)) - (PIXELS - 1) / 2) * PIXEL_MM
    return np.asarray(np.hypot(rows, columns))


def head(content_hu: float = 30.0, noise_hu: float = 0.0, *, held: bool = False) -> Volume:
    """A tube of bone with something in it, a neck below it, in a holder that is open above, or not."""
    radius = radius_mm()
    plane = np.where(radius < BRAIN_MM, content_hu, np.where(radius < SKULL_MM, 900.0, -1000.0))
    hu = np.repeat(plane[None], SLICES, axis=0)
    hu[:NECK] = np.where(radius < BRAIN_MM, 50.0, -1000.0)
    if held:
        below = np.arange(PIXELS)[:, None] > PIXELS * 0.2
        hu[:, (radius > HOLDER_MM[0]) & (radius < HOLDER_MM[1]) & below] = 400.0
    hu += np.random.default_rng(1).normal(0.0, noise_hu, (SLICES, *plane.shape))
    positions = np.array([[0.0, 0.0, SLICE_MM * k] for k in range(SLICES)])
    axes = np.eye(3)
    return make_volume(hu.astype(np.float32), positions, axes[0], axes[1], (PIXEL_MM, PIXEL_MM))


def brain_ml(volume: Volume) -> float:
    return float(brain_mask(volume).sum() * PIXEL_MM**2 * SLICE_MM / 1000.0)


def test_air_between_a_head_and_its_holder_is_no_content_of_the_skull() -> None:
    assert brain_ml(head(held=True)) == pytest.approx(brain_ml(head()), rel=0.1)
    assert brain_ml(head()) > 900.0


def test_noise_of_thin_slices_does_not_make_brain_into_something_else() -> None:
    assert brain_ml(head(noise_hu=45.0)) > 900.0


@pytest.mark.parametrize("content_hu", [-100.0, 120.0, -1000.0], ids=["fat", "what takes up contrast", "air"])
def test_what_is_no_brain_is_refused_in_a_holder_too(content_hu: float) -> None:
    for held in (False, True):
        with pytest.raises(SeriesError) as raised:
            brain_mask(head(content_hu, held=held))
        assert raised.value.refusal is Refusal.NOT_A_HEAD

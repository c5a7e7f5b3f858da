"""What the network that finds the septum learns from, and that numpy computes what torch has learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnode.measure.anatomy.looking import placed, scored
from dicomnode.measure.anatomy.septum import SEPTUM
from dicomnode.train.anatomy.looking import LookNet, Shown, example, layers_of, shown_of, trained, wanted
from tests.unit.measure.anatomy.grids import BRAIN_HU, SAME, coordinates, seen, skull_and_brain

PLACE_MM = np.array([7.0, -12.0, 16.0])


def shown() -> Shown:
    """A head with a rod of blood at a place."""
    x, y, _ = coordinates()
    hu = skull_and_brain()
    hu[(np.abs(x - PLACE_MM[0]) < 4.0) & (np.abs(y - PLACE_MM[1]) < 4.0)] = 70.0
    return shown_of(SEPTUM, seen(hu), SAME, BRAIN_HU, PLACE_MM)


@pytest.mark.parametrize("plain", [True, False])
def test_in_a_frame_that_is_off_the_place_lies_where_the_picture_shows_it(plain: bool) -> None:
    head, rng = shown(), np.random.default_rng(4)
    for _ in range(6):
        channels, place_mm = example(SEPTUM, head, rng, plain=plain)
        bright = channels[2 * len(SEPTUM.up_mm) :][4:7].sum(axis=0)
        x_mm = float((bright.sum(axis=0) * SEPTUM.across_mm).sum() / bright.sum())
        assert x_mm == pytest.approx(float(place_mm[0]), abs=2.0)


def test_the_wanted_likelihood_is_at_the_place() -> None:
    place = placed(SEPTUM, wanted(SEPTUM, PLACE_MM[:2]))
    assert (place.x_mm, place.y_mm) == (pytest.approx(7.0, abs=0.2), pytest.approx(-12.0, abs=0.8))


def test_numpy_computes_what_torch_does() -> None:
    torch.manual_seed(0)
    net = LookNet(SEPTUM.channels)
    channels = torch.rand(4, SEPTUM.channels, len(SEPTUM.back_mm), len(SEPTUM.across_mm))
    net.train()(channels)  # statistics of the normalisation
    with torch.no_grad():
        by_torch = net.eval()(channels[:1])[0].numpy()
    assert scored(channels[0].numpy(), layers_of(net)) == pytest.approx(by_torch, abs=1e-4)


def test_it_learns_to_find_what_is_there() -> None:
    head = shown()
    net = trained(SEPTUM, [head] * 16, epochs=12)
    channels, place_mm = example(SEPTUM, head, np.random.default_rng(1), plain=True)
    scores = scored(channels, layers_of(net))
    _, _, x = np.unravel_index(int(scores.argmax()), scores.shape)
    assert SEPTUM.across_mm[x] == pytest.approx(float(place_mm[0]), abs=4.0)

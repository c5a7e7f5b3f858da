"""What the network that sees the mid-sagittal plane learns from, and that numpy computes what torch has learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnode.measure.anatomy.falx import (
    ACROSS_MM,
    BACK_MM,
    CHANNELS,
    OUTPUTS,
    UP_MM,
    WIDE_MM,
    fitted,
    middles_mm,
    places,
    plane_at_septum,
    side_view,
)
from dicomnode.train.anatomy.falx import KEPT_MM, Side, batch_of, example, loss_of, plane_of, view_of
from dicomnode.train.anatomy.looking import LookNet, layers_of
from tests.unit.measure.anatomy.grids import BRAIN_HU, SAME, coordinates, seen, skull_and_brain

PLANE_MM = 3.0


def side(plane_mm: float = PLANE_MM) -> Side:
    """A falx that is bright at one place across."""
    hu = np.zeros((len(UP_MM), len(BACK_MM), len(KEPT_MM)), np.int8)
    hu[..., np.abs(KEPT_MM - plane_mm) < 0.6] = 30
    even = np.full(hu.shape[:2], plane_mm, np.float16)
    return Side(hu=hu, middles=even, unmoved_mm=even, plane_mm=plane_mm)


def test_a_head_is_seen_from_the_side_where_its_frame_says() -> None:
    x, y, _ = coordinates()
    hu = skull_and_brain()
    hu[(np.abs(x - 4.0) < 1.6) & (y > 20.0) & (y < 50.0)] = 70.0
    view = side_view(seen(hu), SAME, BRAIN_HU)
    height = int(np.argmin(np.abs(UP_MM)))
    at = int(np.argmin(np.abs(BACK_MM - 36.0)))
    assert ACROSS_MM[np.nanargmax(view[height, at])] == pytest.approx(4.0, abs=1.6)
    assert np.nanmax(view[height, int(np.argmin(np.abs(BACK_MM + 30.0)))]) < 20.0


def test_the_middle_between_the_inner_tables_of_an_even_skull_is_its_plane() -> None:
    found = middles_mm(seen(skull_and_brain()), SAME)
    height, at = int(np.argmin(np.abs(UP_MM))), int(np.argmin(np.abs(BACK_MM)))
    assert found[height, at] == pytest.approx(0.0, abs=1.0)
    x, _, _ = coordinates()
    aside = skull_and_brain()
    aside[x > WIDE_MM[-1] - 30.0] = 900.0  # bone on the left alone reaches in
    assert middles_mm(seen(aside), SAME)[height, at] < found[height, at] - 2.0


def test_a_plane_that_is_tilted_is_found_at_the_septum_from_places_elsewhere() -> None:
    y, z = places()
    at_mm = (2.0 + 3.0 * y - 1.0 * z).ravel()
    weights = ((y > 0.3) | (y < -0.6)).astype(float).ravel()
    assert plane_at_septum(at_mm, weights) == pytest.approx(2.0, abs=0.05)


def test_in_a_frame_that_is_off_midline_and_plane_lie_where_the_picture_shows_them() -> None:
    rng = np.random.default_rng(2)
    mirrored = set()
    for _ in range(12):
        view = example(side(), rng)
        mirrored.add(view.plane_mm < 0.0)
        row = np.argmin(np.abs(BACK_MM + 10.0))
        bright = ACROSS_MM[view.hu[10:14, row].mean(axis=0).argmax()]
        assert bright == pytest.approx(float(view.unmoved_mm[12, row]), abs=2.0)
        assert float(np.nanmedian(view.middles)) == pytest.approx(float(np.median(view.unmoved_mm)), abs=1.5)
        assert view.plane_mm == pytest.approx(float(view.unmoved_mm[10, row]), abs=0.2)
    assert mirrored == {True, False}


def test_numpy_computes_what_torch_does() -> None:
    torch.manual_seed(0)
    net = LookNet(CHANNELS, OUTPUTS)
    views = [view_of(side(plane_mm), np.zeros(3)) for plane_mm in (PLANE_MM, -2.0, 1.0, 0.0)]
    net.train()(batch_of(views).channels)  # statistics of the normalisation
    with torch.no_grad():
        by_torch = float(plane_of(net.eval()(batch_of(views[:1]).channels))[0])
    assert fitted(views[0].hu, views[0].middles, layers_of(net)) == pytest.approx(by_torch, abs=1e-3)


def test_the_loss_is_least_where_every_place_is_right() -> None:
    batch = batch_of([view_of(side(), np.zeros(3))])
    said = torch.zeros(1, OUTPUTS, len(UP_MM), len(BACK_MM))
    right, aside = said.clone(), said.clone()
    right[:, int(np.argmin(np.abs(ACROSS_MM - PLANE_MM)))] = 6.0
    aside[:, int(np.argmin(np.abs(ACROSS_MM + PLANE_MM)))] = 6.0
    assert float(loss_of(right, batch)) < float(loss_of(said, batch)) < float(loss_of(aside, batch))

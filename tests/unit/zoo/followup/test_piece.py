"""The piece that is most surely stained, and what is shown of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnode.zoo.followup.piece import CROP, HALF, LAYERS, UNIT_HU, PieceReader, crop_of, surest

SHAPE = (24, 64, 64)


def stained_head() -> tuple[np.ndarray, np.ndarray]:
    """A large faint piece, a small sure one, and bone beyond what is shown."""
    stained, head = np.zeros(SHAPE, np.float32), np.zeros((3, *SHAPE), np.float32)
    head[1] = 1.0
    stained[10, 20, 20:24] = 0.9
    stained[18, 40:42, 40:42] = 0.3
    head[2, 10, 20, 23], head[0, 10, 20, 23], head[2, 0, 0, 0] = 80.0, 60.0, 2000.0
    return stained, head


def test_the_piece_is_the_one_that_holds_most_of_what_is_surely_stained() -> None:
    stained, _ = stained_head()
    found = surest(stained, 0.2)
    assert found is not None
    assert (int(found[0].sum()), found[1]) == (4, pytest.approx(3.6))
    assert surest(stained, 0.95) is None


def test_what_is_shown_lies_about_the_densest_of_the_piece() -> None:
    stained, head = stained_head()
    crop = crop_of(surest(stained, 0.2), stained, np.zeros_like(stained), head)
    assert crop.shape == (LAYERS, *CROP)
    assert crop[1][HALF] == pytest.approx(80.0 / UNIT_HU)
    assert crop[0][HALF] == pytest.approx(60.0 / UNIT_HU)
    assert crop[3][HALF] == pytest.approx(0.9)


def test_at_the_edge_of_the_grid_what_lies_beyond_is_shown_as_dark() -> None:
    stained, head = np.zeros(SHAPE, np.float32), np.zeros((3, *SHAPE), np.float32)
    crop = crop_of(None, stained, stained, head)
    assert crop.shape == (LAYERS, *CROP)
    assert np.unique(crop[0, : HALF[0]]).tolist() == [-1.0]
    assert np.unique(crop[0, HALF[0] :, HALF[1] :, HALF[2] :]).tolist() == [0.0]


def test_a_piece_and_its_mirror_image_are_told_alike() -> None:
    torch.manual_seed(1)
    reader, crop = PieceReader(4).eval(), torch.randn(2, LAYERS, *CROP)
    with torch.inference_mode():
        assert torch.allclose(reader(crop), reader(crop.flip(-1)), atol=1e-5)

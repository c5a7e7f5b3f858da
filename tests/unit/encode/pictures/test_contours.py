"""Outlines against areas and coordinates worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from dicomnode.encode.pictures.contours import MAX_PIECES, outlines


def area(outline: NDArray[np.float64]) -> float:
    """Shoelace formula; positive when clockwise as displayed (rows downwards)."""
    x, y = outline[:-1].T
    x_next, y_next = outline[1:].T
    return float(np.sum(x * y_next - x_next * y) / 2)


def test_one_pixel_is_outlined_by_its_corners() -> None:
    plane = np.zeros((6, 6), dtype=bool)
    plane[2, 3] = True  # row 2, column 3: x from 3 to 4, y from 2 to 3
    (outline,) = outlines(plane)
    assert {tuple(p) for p in outline} == {(3.0, 2.0), (4.0, 2.0), (4.0, 3.0), (3.0, 3.0)}
    assert outline[0].tolist() == outline[-1].tolist()
    assert area(outline) == 1


def test_a_rectangle_has_four_corners() -> None:
    plane = np.zeros((20, 20), dtype=bool)
    plane[5:10, 2:18] = True
    (outline,) = outlines(plane)
    assert len(outline) == 5
    assert area(outline) == 80


def test_a_mask_at_the_edge_of_the_image_is_outlined_along_it() -> None:
    (outline,) = outlines(np.ones((4, 7), dtype=bool))
    assert outline.min(axis=0).tolist() == [0, 0]
    assert outline.max(axis=0).tolist() == [7, 4]


def test_a_hole_is_within_the_outline() -> None:
    plane = np.zeros((9, 9), dtype=bool)
    plane[1:8, 1:8] = True
    plane[3:6, 3:6] = False
    assert [area(outline) for outline in outlines(plane)] == [49]


def test_pieces_that_touch_by_a_corner_have_an_outline_each() -> None:
    plane = np.zeros((8, 8), dtype=bool)
    plane[1:3, 1:3] = True
    plane[3:6, 3:6] = True
    assert [area(outline) for outline in outlines(plane)] == [9, 4]


def test_an_empty_plane_has_no_outline() -> None:
    assert outlines(np.zeros((5, 5), dtype=bool)) == []


def test_only_the_largest_pieces_are_outlined() -> None:
    plane = np.zeros((40, 40), dtype=bool)
    plane[::4, ::4] = True
    plane[0:2, 0:2] = True
    found = outlines(plane)
    assert len(found) == MAX_PIECES
    assert area(found[0]) == 4


def test_a_long_outline_is_simplified_without_leaving_its_place() -> None:
    rows, columns = np.mgrid[0:512, 0:512]
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(512, 512)), 3)
    plane = np.hypot(rows - 256, columns - 256) + 200 * noise < 180
    exact, simpler = outlines(plane, max_points=10**6)[0], outlines(plane, max_points=300)[0]
    assert len(exact) > 600
    assert len(simpler) <= 300
    assert area(simpler) == pytest.approx(area(exact), rel=0.02)
    gaps = np.linalg.norm(simpler[:, None] - exact[None], axis=2).min(axis=1)
    assert gaps.max() == 0


@settings(max_examples=80, deadline=None)
@given(arrays(bool, (8, 9), elements=st.booleans()))
def test_every_outline_encloses_exactly_its_filled_piece(plane: NDArray[np.bool_]) -> None:
    pieces, count = ndimage.label(plane)
    found = outlines(plane)
    assert len(found) == min(count, MAX_PIECES)
    filled_areas = sorted((int(ndimage.binary_fill_holes(pieces == k + 1).sum()) for k in range(count)), reverse=True)
    assert sum(area(o) for o in found) <= sum(filled_areas)
    for outline in found:
        filled = drawn(outline, plane.shape)
        values = np.unique(pieces[filled & plane])
        assert any(np.array_equal(filled, ndimage.binary_fill_holes(pieces == value)) for value in values)
        assert area(outline) == filled.sum()


def drawn(outline: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels whose centres lie within an outline, by Pillow's polygon fill, eight times enlarged."""
    image = Image.new("1", (shape[1] * 8, shape[0] * 8))
    ImageDraw.Draw(image).polygon([(x * 8, y * 8) for x, y in outline.tolist()], fill=1)
    return np.asarray(image)[4::8, 4::8].copy()

"""Outlines of masks along the edges of their pixels, as SCOORD polygons want them (DICOM PS3.3 C.10.5.1.2, C.18.6.1.1).

Coordinates are (column, row) with (0, 0) at the top left corner of the top left pixel: a pixel's own corners are whole
numbers, so an outline encloses exactly the pixels of its piece (and its holes, which are filled).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MAX_POINTS = 512
"""Vertices of one outline; a longer one is simplified, by as little as brings it under."""
MAX_PIECES = 8
"""Outlines of one lesion on one slice, the largest pieces: more would hide the image below them."""
FIRST_TOLERANCE_PIXELS = 0.5


def outlines(plane: NDArray[np.bool_], max_points: int = MAX_POINTS) -> list[NDArray[np.float64]]:
    """Closed outer boundaries of the pieces of a mask on one slice, the largest piece first.

    Parameters
    ----------
    plane : (rows, columns).

    Returns
    -------
    list of (points, 2) : (column, row) on pixel edges, clockwise as displayed; the last point repeats the first.
    """
    pieces, count = ndimage.label(plane)  # 4-connected: the outline of a filled piece then never touches itself
    if not count:
        return []
    sizes = np.bincount(pieces.ravel())[1:]
    boxes = ndimage.find_objects(pieces)
    found = []
    for index in np.argsort(-sizes, kind="stable")[:MAX_PIECES]:
        rows, columns = boxes[index]
        filled = ndimage.binary_fill_holes(pieces[rows, columns] == index + 1)
        corner = np.array([columns.start, rows.start])
        found.append(_simplified(_trace(filled), max_points) + corner)
    return found


def _trace(filled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Boundary of one filled, 4-connected piece: (points, 2), corners only.

    Every pixel edge between inside and outside is directed with the inside on its right; each corner then has exactly
    one edge that leaves it, and following them runs round the piece once.
    """
    edges = np.concatenate(_directed_edges(np.pad(filled, 1)))
    follows = {(column, row): (to_column, to_row) for column, row, to_column, to_row in edges.tolist()}
    start = here = next(iter(follows))
    path = [start]
    while (here := follows[here]) != start:
        path.append(here)
    points = np.array(path, dtype=np.float64)
    arriving, leaving = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    corners = points[(arriving != leaving).any(axis=1)]
    return np.concatenate([corners, corners[:1]])


def _directed_edges(padded: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """(edges, 4) arrays (column, row, to column, to row): along the top to the right, then down, left and up."""
    inside = padded[1:-1, 1:-1]
    top = np.argwhere(inside & ~padded[:-2, 1:-1])
    right = np.argwhere(inside & ~padded[1:-1, 2:])
    bottom = np.argwhere(inside & ~padded[2:, 1:-1])
    left = np.argwhere(inside & ~padded[1:-1, :-2])
    return [
        np.stack([pixels[:, 1] + a, pixels[:, 0] + b, pixels[:, 1] + c, pixels[:, 0] + d], axis=1)
        for pixels, (a, b, c, d) in (
            (top, (0, 0, 1, 0)),
            (right, (1, 0, 1, 1)),
            (bottom, (1, 1, 0, 1)),
            (left, (0, 1, 0, 0)),
        )
    ]


def _simplified(outline: NDArray[np.float64], max_points: int) -> NDArray[np.float64]:
    """The outline itself where it is short enough; else simplified with the smallest tolerance that suffices."""
    tolerance, simpler = FIRST_TOLERANCE_PIXELS, outline
    while len(simpler) > max_points:
        half = len(outline) // 2
        first, second = _thinned(outline[: half + 1], tolerance), _thinned(outline[half:], tolerance)
        simpler = np.concatenate([first, second[1:]])
        tolerance *= 1.5
    return simpler


def _thinned(line: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Douglas-Peucker: no dropped point lies further than ``tolerance`` from the line that is left."""
    kept = np.zeros(len(line), dtype=bool)
    kept[[0, -1]] = True
    open_spans = [(0, len(line) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        distances = _distances(line[first + 1 : last], line[first], line[last])
        farthest = int(np.argmax(distances))
        if distances[farthest] > tolerance:
            middle = first + 1 + farthest
            kept[middle] = True
            open_spans += [(first, middle), (middle, last)]
    return line[kept]


def _distances(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each point from the segment ``start`` to ``end``."""
    along = end - start
    length_squared = float(along @ along)
    if length_squared == 0:
        return np.asarray(np.linalg.norm(points - start, axis=1))
    share = np.clip((points - start) @ along / length_squared, 0, 1)
    return np.asarray(np.linalg.norm(points - start - share[:, None] * along, axis=1))

"""Which parts of which slices the overview shows, and how large: as few and as large as tell what was found.

A bleed on many slices gets many tiles, one on few slices few large ones, and a small lesion one more that is enlarged.
Where nothing is marked the tiles run through the brain; base and vertex, where there is none to see, get no tile.
Where a scan was predicted, the slice that changes most stands below: as it is, as predicted, and the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.encode.pictures.slices import Crop, crop_of
from dicomnode.records import Case, MaskFinding, Region, Volume

BONE_HU = 180.0
CRANIUM_SHARE = 0.45
"""A slice whose inside of the skull is smaller than this share of the largest shows base or vertex."""
COARSE_MM = 1.5
SMALL_MM = 30.0
"""A lesion of less than this diameter is shown enlarged, too."""
ENLARGED_MM = 80.0
"""Side of what an enlarged tile shows."""
MOST_ENLARGED = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """How tiles are laid out."""

    columns: int
    rows: int

    @property
    def places(self) -> int:
        """How many tiles it holds."""
        return self.columns * self.rows


GRIDS = (Grid(2, 2), Grid(3, 2), Grid(4, 3))
"""From few and large to many and small."""


class Shown(StrEnum):
    """What a tile shows of a slice where a scan was predicted; the value names the sentence of its caption."""

    SOURCE = "shown source"
    PREDICTED = "shown predicted"
    DIFFERENCE = "shown difference"


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of the grid.

    Attributes
    ----------
    enlarged : it shows a part of the head.
    shown : of the slice, beside others of the same; None: the slice as it is, with what is marked.
    """

    index: int
    crop: Crop
    enlarged: bool = False
    shown: Shown | None = None


def layout_of(case: Case) -> tuple[Grid, list[Tile]]:
    """The grid of a case and its tiles, in stack order; an enlarged one follows that of its slice.

    Of a predicted scan one slice comes last, three times.
    """
    if case.images:
        return _beside_a_prediction(case)
    marked = _marked(case)
    small = _small_lesions(case)[:MOST_ENLARGED]
    wanted = GRIDS[-1].places if not marked.size else len(marked) + len(small)
    grid = next((grid for grid in GRIDS if grid.places >= wanted), GRIDS[-1])
    whole = crop_of(case.volume.hu, case.volume.stack)
    tiles = [Tile(index, whole) for index in key_slices(case, grid.places - len(small))]
    for finding, number in small:
        index = widest_of(finding, number)
        crop = _crop_around(finding.lesion_labels[index] == number + 1, whole)
        tiles.append(Tile(index, crop, enlarged=True))
    return grid, sorted(tiles, key=lambda tile: (tile.index, tile.enlarged))


def _beside_a_prediction(case: Case) -> tuple[Grid, list[Tile]]:
    grid, whole = GRIDS[1], crop_of(case.volume.hu, case.volume.stack)
    index = most_changed(case)
    compared = [Tile(index, whole, shown=shown) for shown in Shown]
    return grid, [*(Tile(one, whole) for one in key_slices(case, grid.columns)), *compared]


def most_changed(case: Case) -> int:
    """The slice that the first predicted scan changes most; the middle one where it changes none."""
    change = np.abs(case.images[0].hu - case.volume.hu).mean(axis=(1, 2))
    return int(np.argmax(change)) if change.any() else len(change) // 2


def _small_lesions(case: Case) -> list[tuple[MaskFinding, int]]:
    """Findings with the number of a lesion that is too small for a tile of the whole head."""
    return [
        (finding, number)
        for finding in case.masks
        for number, region in enumerate(finding.lesions)
        if region.longest_diameter_mm < SMALL_MM
    ]


def _crop_around(plane: NDArray[np.bool_], whole: Crop) -> Crop:
    """A square of ``ENLARGED_MM`` around what is marked, in the proportions of the whole."""
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    share = min(1.0, ENLARGED_MM / whole.side_mm)
    height, width = whole.height * share, whole.width * share
    top, left = (rows[0] + rows[-1] + 1 - height) / 2, (columns[0] + columns[-1] + 1 - width) / 2
    return Crop(top, left, height, width, whole.side_mm * share)


def widest_of(finding: MaskFinding, index: int) -> int:
    """Slice on which a lesion (0-based) covers most."""
    region: Region = finding.lesions[index]
    labels = finding.lesion_labels[region.first_slice : region.last_slice + 1]
    return region.first_slice + int(np.argmax((labels == index + 1).sum(axis=(1, 2))))


def key_slices(case: Case, count: int) -> list[int]:
    """Slices to show, ascending.

    Those with marks, the widest of each of the largest lesions among them; where they are fewer than ``count``, their
    neighbours too; without marks those of the brain, evenly.

    Parameters
    ----------
    count : how many at most.
    """
    marked = _marked(case)
    if not marked.size:
        return _evenly(brain_slices(case.volume), count)
    if len(marked) <= count:
        return _with_neighbours(marked.tolist(), count, brain_slices(case.volume))
    widest = dict.fromkeys(widest_of(one, number) for one in case.masks for number in range(min(3, len(one.lesions))))
    chosen = set(list(widest)[:count])
    for index in sorted(_evenly(marked.tolist(), count), key=lambda index: -min(abs(index - at) for at in widest)):
        if len(chosen) < count:
            chosen.add(index)
    return sorted(chosen)


def _with_neighbours(marked: list[int], count: int, brain: Sequence[int]) -> list[int]:
    """The marked slices and, nearest first, as many slices of the brain as there is room for."""
    others = sorted(set(brain) - set(marked), key=lambda index: (min(abs(index - at) for at in marked), index))
    return sorted([*marked, *others[: count - len(marked)]])


def _evenly(indices: Sequence[int], count: int) -> list[int]:
    if len(indices) <= count:
        return list(indices)
    return [indices[place] for place in np.linspace(0, len(indices) - 1, count).round().astype(int)]


def _marked(case: Case) -> NDArray[np.intp]:
    """Slices with marks, ascending."""
    marked = np.zeros(len(case.volume.hu), dtype=bool)
    for finding in case.masks:
        marked |= finding.mask.any(axis=(1, 2))
    return np.flatnonzero(marked)


def brain_slices(volume: Volume) -> list[int]:
    """Slices that show the brain and not only base or vertex, ascending; all where no skull is seen."""
    areas = np.array([_cranium_pixels(plane, volume.stack.row_spacing_mm) for plane in volume.hu])
    if not areas.max():
        return list(range(len(areas)))
    large = areas >= CRANIUM_SHARE * areas.max()
    runs, _ = ndimage.label(large)
    return [int(index) for index in np.flatnonzero(runs == runs[int(np.argmax(areas))])]


def _cranium_pixels(plane: NDArray[np.float32], spacing_mm: float) -> int:
    """Size of the largest space that bone encloses on one slice."""
    step = max(1, round(COARSE_MM / spacing_mm))
    bone = ndimage.binary_closing(plane[::step, ::step] > BONE_HU, iterations=2)
    inside = ndimage.binary_fill_holes(bone) & ~bone
    pieces, count = ndimage.label(inside)
    return int(np.bincount(pieces.ravel())[1:].max()) if count else 0

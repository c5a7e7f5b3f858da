"""Lesions of a mask and their measurements, on the source's own slices.

A lesion is a 26-connected component of at least the detection limit; smaller pieces are no finding and count nowhere.
Volume = voxels x in-plane area x slice weight, from positions, never from SliceThickness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.measure.abc2 import abc2_ml, diameters
from dicomnode.measure.place import Places
from dicomnode.records import Region, Stack, Volume

DETECTION_LIMIT_ML = 0.1

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""26-connected: faces, edges and corners."""

Box = tuple[slice, slice, slice]
"""(slices, rows, columns) of a part of a volume."""


@dataclass(frozen=True, slots=True)
class Component:
    """One connected component.

    Attributes
    ----------
    voxels : within ``box``, those that belong to it.
    """

    box: Box
    voxels: NDArray[np.bool_]
    volume_ml: float


def measure(
    mask: NDArray[np.bool_],
    volume: Volume,
    detection_limit_ml: float = DETECTION_LIMIT_ML,
    places: Places | None = None,
) -> tuple[Region | None, tuple[Region, ...], NDArray[np.integer[Any]]]:
    """Measure the lesions of a mask, and all of them together.

    Parameters
    ----------
    mask : (slices, rows, columns), in the stack order of ``volume``.
    volume : the CT in Hounsfield units with its geometry.
    detection_limit_ml : smallest component that is a lesion.
    places : of the volume; None looks at it anew.

    Returns
    -------
    total : of all lesions; None where there is none. Diameter and ABC/2 of several pieces have no meaning of their
        own: the total carries the longest diameter of its largest lesion, and the sum of the lesions' ABC/2.
    lesions : largest first.
    lesion_labels : (slices, rows, columns) unsigned, as few bytes as their number needs; lesion k of ``lesions`` has
        value k + 1, all else 0.

    Raises
    ------
    ValueError : mask and volume differ in shape.
    """
    if mask.shape != volume.hu.shape:
        raise ValueError(f"mask {mask.shape} and volume {volume.hu.shape} differ in shape")
    pieces = [piece for piece in components(mask, volume.stack) if piece.volume_ml >= detection_limit_ml]
    # four bytes a voxel would take as much as the scan itself
    lesion_labels = np.zeros(mask.shape, np.min_scalar_type(len(pieces)))
    for value, piece in enumerate(pieces, start=1):
        lesion_labels[piece.box][piece.voxels] = value
    if not pieces:
        return None, (), lesion_labels
    places = places or Places(volume)
    lesions = tuple(places.told(_region(piece.voxels, piece.box, volume), _voxels_of(piece)) for piece in pieces)
    return _total(lesion_labels > 0, pieces, volume, lesions), lesions, lesion_labels


def _voxels_of(piece: Component) -> NDArray[np.intp]:
    return np.asarray(np.argwhere(piece.voxels) + [part.start for part in piece.box])


def components(mask: NDArray[np.bool_], stack: Stack) -> list[Component]:
    """The 26-connected components of a mask, largest volume first."""
    within = next(iter(ndimage.find_objects(mask.view(np.int8))), None)
    if within is None:
        return []
    # Labels take four times the memory of a mask: of a thin-slice exam, that of the whole exam once more.
    labels, count = ndimage.label(mask[within], structure=_TOUCHING)
    there = ndimage.find_objects(labels, max_label=count)
    parts = [labels[box] == label for label, box in enumerate(there, start=1)]
    boxes = [_moved(box, within) for box in there]
    found = [Component(box, part, _volume_ml(part, stack, box[0])) for box, part in zip(boxes, parts, strict=True)]
    return sorted(found, key=lambda one: -one.volume_ml)


def _moved(box: Box, within: Box) -> Box:
    """A box that is told from the beginning of another one."""
    a, b, c = (slice(one.start + of.start, one.stop + of.start) for one, of in zip(box, within, strict=True))
    return a, b, c


def _total(mask: NDArray[np.bool_], pieces: list[Component], volume: Volume, lesions: tuple[Region, ...]) -> Region:
    box = _hull_box([piece.box for piece in pieces])
    whole = _region(mask[box], box, volume)
    estimates = [region.abc2_ml for region in lesions if region.abc2_ml is not None]
    return replace(whole, abc2_ml=sum(estimates), longest_diameter_mm=lesions[0].longest_diameter_mm)


def _hull_box(boxes: list[Box]) -> Box:
    """The smallest box that holds all."""
    starts = np.min([[part.start for part in box] for box in boxes], axis=0)
    stops = np.max([[part.stop for part in box] for box in boxes], axis=0)
    first, second, third = (slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True))
    return first, second, third


def _region(part: NDArray[np.bool_], box: Box, volume: Volume) -> Region:
    """Measurements of ``part``, the voxels that belong to the region within ``box``."""
    stack = volume.stack
    counts = part.sum(axis=(1, 2)).astype(np.float64)
    widest = diameters(part[int(np.argmax(counts))], stack.row_spacing_mm, stack.column_spacing_mm)
    hu = volume.hu[box][part].astype(np.float64)
    occupied = np.flatnonzero(counts)
    return Region(
        voxels=int(counts.sum()),
        volume_ml=_volume_ml(part, stack, box[0]),
        abc2_ml=abc2_ml(widest.longest_mm, widest.perpendicular_mm, counts, stack.weights_mm[box[0]]),
        mean_hu=float(hu.mean()),
        max_hu=float(hu.max()),
        longest_diameter_mm=widest.longest_mm,
        first_slice=box[0].start + int(occupied[0]),
        last_slice=box[0].start + int(occupied[-1]),
        centroid_mm=_centroid_mm(part, box, stack),
    )


def _volume_ml(part: NDArray[np.bool_], stack: Stack, slices: slice) -> float:
    return float(part.sum(axis=(1, 2)) @ stack.voxel_ml[slices])


def _centroid_mm(part: NDArray[np.bool_], box: Box, stack: Stack) -> tuple[float, float, float]:
    """Centre of volume, LPS: each slice from its own position, each voxel weighted by its slice (PS3.3 C.7.6.2.1.1)."""
    counts = part.sum(axis=(1, 2))
    shares = counts * stack.weights_mm[box[0]]
    weight = part * stack.weights_mm[box[0]][:, None, None]
    row = float(weight.sum(axis=(0, 2)) @ np.arange(box[1].start, box[1].stop)) / shares.sum()
    column = float(weight.sum(axis=(0, 1)) @ np.arange(box[2].start, box[2].stop)) / shares.sum()
    origin = shares @ stack.positions_mm[box[0]] / shares.sum()
    in_plane = row * stack.row_spacing_mm * stack.column_cosines + column * stack.column_spacing_mm * stack.row_cosines
    x, y, z = origin + in_plane
    return float(x), float(y), float(z)

"""Is there a brain within a skull, and where? Rules only: no learning, no torch.

Soft tissue that is surrounded by bone in its slice, cut loose from what lies outside by an opening, largest piece
through the stack; after the recipe of Muschelli 2015 (0 to 100 HU, smoothing, largest component, filled holes) with
morphology in place of BET.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.errors import Refusal, SeriesError
from dicomnode.records import Volume
from dicomnode.zoo.orientation import orientation_of

BONE_HU = 180.0
SOFT_HU = (-25.0, 130.0)
BRAIN_HU = (-10.0, 85.0)
GRID_MM = 1.5
AIR_BELOW_HU, SOLID_ABOVE_HU = -200.0, 380.0
"""Single voxels beyond these are taken out of the mask."""
CUT_MM = 3.5
"""Half width of the openings of the skull (foramina, fissures) that are cut."""
MIXED_HU = 30.0
"""A slice whose median lies this far above that of the whole brain shows the vault mixed into it, not brain."""
DIRECTIONS = tuple(
    (down, right) for down in range(-2, 3) for right in range(-2, 3) if {abs(down), abs(right)} in ({0, 1}, {1}, {1, 2})
)
"""Sixteen steps (rows, columns), evenly around: straight, diagonal and the knight's move between them."""
SCALP_MM = 14.0
"""As deep as this below the skin soft tissue is scalp, unless something denser than it lies between."""
SCALP_HU = 100.0
MIN_BRAIN_ML = 350.0
MIN_BRAIN_SHARE = 0.80
"""Least share of the skull's content with the attenuation of brain, CSF or blood."""
CALM_MM = 5.0
"""Thinner slices are averaged to about this before their content is judged: the noise of thin ones reaches beyond what
brain and blood can be."""


def _disc(radius: float) -> NDArray[np.bool_]:
    n = int(np.ceil(radius))
    y, x = np.ogrid[-n : n + 1, -n : n + 1]
    return np.asarray(x * x + y * y <= radius * radius + 0.25)[None]


def _surrounded(bone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels with bone in at least seven of the eight directions of their slice (at least all but one)."""
    count = np.zeros(bone.shape, np.uint8)
    for axis in (1, 2):
        for step in (1, -1):
            view = bone[:, ::step] if axis == 1 else bone[:, :, ::step]
            seen = np.maximum.accumulate(view, axis=axis)
            count += seen[:, ::step] if axis == 1 else seen[:, :, ::step]
    for mirror in (False, True):
        view = bone[:, :, ::-1] if mirror else bone
        for both in _diagonals(view):
            count += both[:, :, ::-1] if mirror else both
    result: NDArray[np.bool_] = count >= 7
    return result


def _diagonals(bone: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Is there bone up-left, and down-right, of each pixel?"""
    down, up = bone.copy(), bone.copy()
    for row in range(1, bone.shape[1]):
        down[:, row, 1:] |= down[:, row - 1, :-1]
    for row in range(bone.shape[1] - 2, -1, -1):
        up[:, row, :-1] |= up[:, row + 1, 1:]
    return down, up


def _largest(mask: NDArray[np.bool_], sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Largest 6-connected piece, by weighted voxels per slice."""
    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    weights = ndimage.sum_labels(np.broadcast_to(sizes[:, None, None], mask.shape), pieces, np.arange(1, count + 1))
    result: NDArray[np.bool_] = pieces == int(np.argmax(weights)) + 1
    return result


def _coarse_cavity(hu: NDArray[np.float32], weights_mm: NDArray[np.float64], grid_mm: float) -> NDArray[np.bool_]:
    """Intracranial space on a canonical stack of roughly ``grid_mm`` pixels."""
    bone = hu > BONE_HU
    enclosed = _surrounded(bone) & ~bone
    cut = ndimage.binary_erosion(enclosed & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1]), _disc(CUT_MM / grid_mm))
    core = _largest(cut, weights_mm)
    grown = ndimage.binary_dilation(core, _disc((CUT_MM + 2.0) / grid_mm)) & enclosed
    filled = _filled(grown)
    return filled & ~_mixed_with_bone(hu, filled)[:, None, None]


def _mixed_with_bone(hu: NDArray[np.float32], cavity: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(slices,) where bone in the same thick slice brightens the content of the cavity: the crown of the head."""
    limit = np.median(hu[cavity]) + MIXED_HU if cavity.any() else 0.0
    return np.array(
        [bool(inside.any() and np.median(plane[inside]) > limit) for plane, inside in zip(hu, cavity, strict=True)]
    )


def _calm(hu: NDArray[np.float32], weights_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """The same, each slice averaged with its neighbours within ``CALM_MM``."""
    slices = max(1, int(CALM_MM / float(np.median(weights_mm)) + 0.5))
    return np.asarray(ndimage.uniform_filter1d(hu, slices, axis=0, mode="nearest"), np.float32)


def _outer_air(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Air that reaches the edge of the images: a head holder encloses air around the head, which no skull holds."""
    pieces, _ = ndimage.label(hu < AIR_BELOW_HU)
    rim = np.concatenate([pieces[:, (0, -1)].ravel(), pieces[:, :, (0, -1)].ravel()])
    outer: NDArray[np.bool_] = np.isin(pieces, np.setdiff1d(rim, 0))
    return outer


def _skull_content(hu: NDArray[np.float32], weights_mm: NDArray[np.float64], grid_mm: float) -> float:
    """Share of the space enclosed by bone (whatever fills it) that has the attenuation of brain, CSF or blood."""
    bone = hu > BONE_HU
    held = _surrounded(bone) & ~bone & ~_outer_air(hu)
    space = _largest(ndimage.binary_erosion(held, _disc(2 * CUT_MM / grid_mm)), weights_mm)
    content = _calm(hu, weights_mm)[space]
    if content.size == 0:
        return 0.0
    return float(np.mean((content > BRAIN_HU[0]) & (content < BRAIN_HU[1])))


def brain_mask(volume: Volume) -> NDArray[np.bool_]:
    """Intracranial space (brain, CSF, blood) of a head CT.

    Returns
    -------
    (slices, rows, columns) bool in stack order.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD``: less than 350 mL of it, or what the skull holds is not brain; ``NOT_AXIAL``.
    """
    orientation = orientation_of(volume.stack)
    hu = orientation.to_canonical(volume.hu)
    weights = volume.stack.weights_mm[::-1] if orientation.flip_slices else volume.stack.weights_mm
    steps = [max(1, round(GRID_MM / s)) for s in (orientation.row_spacing_mm, orientation.column_spacing_mm)]
    grid_mm = float(np.mean([steps[0] * orientation.row_spacing_mm, steps[1] * orientation.column_spacing_mm]))
    smooth = _block_mean(hu, steps[0], steps[1])
    cavity = _coarse_cavity(smooth, weights, grid_mm)
    area = steps[0] * orientation.row_spacing_mm * steps[1] * orientation.column_spacing_mm
    size_ml = float((cavity.sum(axis=(1, 2)) * weights).sum() * area / 1000.0)
    share = _skull_content(smooth, weights, grid_mm)
    if size_ml < MIN_BRAIN_ML or share < MIN_BRAIN_SHARE:
        raise SeriesError(
            Refusal.NOT_A_HEAD, f"{size_ml:.0f} mL of soft tissue within bone, {share:.0%} of it like brain"
        )
    result = _on_pixels(cavity, steps, hu.shape) & (hu > AIR_BELOW_HU) & (hu < SOLID_ABOVE_HU)
    return np.ascontiguousarray(orientation.from_canonical(result))


def interior_mask(volume: Volume) -> NDArray[np.bool_]:
    """What may be marked: all within the skull, generously; bone, air, scalp and what lies around the head is not.

    A voxel is within if it sees bone, or air that the head encloses, in at least half of sixteen directions of its
    slice, and cannot be reached from the skin by less than ``SCALP_MM`` of soft tissue. :func:`brain_mask` is stricter
    and loses whole lobes where the skull is thin: blood there must not be lost.

    Returns
    -------
    (slices, rows, columns) bool in stack order.

    Raises
    ------
    SeriesError : ``NOT_AXIAL``.
    """
    orientation = orientation_of(volume.stack)
    hu = orientation.to_canonical(volume.hu)
    steps = [max(1, round(GRID_MM / s)) for s in (orientation.row_spacing_mm, orientation.column_spacing_mm)]
    smooth = _block_mean(hu, steps[0], steps[1])
    head = _filled(smooth > AIR_BELOW_HU)
    walled = _walls_around(smooth, head) >= len(DIRECTIONS) // 2
    coarse = walled & ~_scalp(smooth, head, steps[0] * orientation.row_spacing_mm)
    result = _on_pixels(coarse, steps, hu.shape) & (hu > AIR_BELOW_HU) & (hu < SOLID_ABOVE_HU)
    return np.ascontiguousarray(orientation.from_canonical(result))


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask with all that it encloses, slice by slice."""
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])


def _scalp(hu: NDArray[np.float32], head: NDArray[np.bool_], grid_mm: float) -> NDArray[np.bool_]:
    """What the air around the filled head reaches through ``SCALP_MM`` of soft tissue, and that air itself."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    reach = max(1, round(SCALP_MM / grid_mm))
    return np.asarray(ndimage.binary_dilation(~head, cross, reach, mask=hu <= SCALP_HU))


def _walls_around(hu: NDArray[np.float32], head: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(slices, rows, columns) in how many of ``DIRECTIONS`` a pixel sees bone, or air within the filled head."""
    pockets = head & (hu <= AIR_BELOW_HU)
    walls = (hu > BONE_HU) | pockets
    # a step that skips pixels must not slip through a thin wall
    thick = walls | _moved(walls, 0, 1) | _moved(walls, 1, 0)
    count = np.zeros(hu.shape, np.uint8)
    for down, right in DIRECTIONS:
        count += _seen(walls if max(abs(down), abs(right)) == 1 else thick, down, right)
    return count


def _seen(walls: NDArray[np.bool_], down: int, right: int) -> NDArray[np.bool_]:
    """Is there a wall in this direction? Each round doubles how far is looked."""
    seen, reach = walls.copy(), 1
    while reach < max(walls.shape[1:]):
        seen |= _moved(seen, reach * down, reach * right)
        reach *= 2
    return seen


def _moved(mask: NDArray[np.bool_], down: int, right: int) -> NDArray[np.bool_]:
    """What each pixel finds ``down`` rows and ``right`` columns away; beyond the edge there is nothing."""
    rows, columns = mask.shape[1:]
    result: NDArray[np.bool_] = np.zeros_like(mask)
    if abs(down) < rows and abs(right) < columns:
        to = (slice(max(0, -down), rows - max(0, down)), slice(max(0, -right), columns - max(0, right)))
        of = (slice(max(0, down), rows - max(0, -down)), slice(max(0, right), columns - max(0, -right)))
        result[:, to[0], to[1]] = mask[:, of[0], of[1]]
    return result


def _on_pixels(coarse: NDArray[np.bool_], steps: Sequence[int], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Blocks of pixels -> pixels; an incomplete last block is False."""
    full = np.repeat(np.repeat(coarse, steps[0], axis=1), steps[1], axis=2)
    result: NDArray[np.bool_] = np.zeros(shape, np.bool_)
    result[:, : full.shape[1], : full.shape[2]] = full
    return result


def _block_mean(hu: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Mean over blocks of pixels; an incomplete last block is dropped."""
    n, m = hu.shape[1] // rows, hu.shape[2] // columns
    blocks = hu[:, : n * rows, : m * columns].reshape(hu.shape[0], n, rows, m, columns)
    result: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return result

"""Midline shift at the septum pellucidum, and the Evans index, from the frontal horns.

The septum is looked for between the two horns: the deepest place of a profile of fluid across the head. Where not both
horns are seen (squeezed, or filled with blood) nothing is measured, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, median_filter

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.sampling import Coarse

STEP_MM = 1.0
ACROSS_MM = np.arange(-85.0, 85.0 + STEP_MM, STEP_MM)
BACK_MM = np.arange(-38.0, 12.0, 2.0)
UP_MM = np.arange(2.0, 27.0, 2.0)
"""Where frontal horns and septum are, in head coordinates; how far they may be moved aside is ``REACH_MM``."""
SEPTUM_MM, SPREAD_MM = (-10.0, 16.0), (6.3, 4.9)
"""Middle of the septum (y, z), and how far around it an estimate still counts: a shift is largest there."""
REACH_MM = 18.0
HORN_FROM_MM = 9.0
"""A horn begins nearer to the septum than this."""
HORN_MM = 16.0
"""A horn has its most fluid nearer to the septum than this."""
SMOOTH_MM = 1.0
INNER_TABLE_HU, INNER_TABLE_FROM_MM = 200.0, 45.0
FLUID_BELOW_BRAIN_HU = 25.0
"""Fluid lies about this far below brain, where it cannot be measured."""
FRONTAL_MM = -8.0
"""Frontal horns lie in front of this (y); behind it is the body of the ventricle."""
SKULL_BACK_MM = np.arange(-30.0, 51.0, 10.0)
"""Where the widest place of the inner skull is looked for."""
LEAST_VALLEY = 0.3
"""Fluid of a horn above that of the septum, as share of pure fluid, for a septum that is seen."""
HORN_SHARE = 0.6
"""Where a horn ends: the white matter around it is darker than brain on the whole."""
DENSE_HU = 14.0
"""A septum is not that much denser than brain."""
MOST_SHIFT_MM = 15.0
"""Further aside no horn is left on one side of the septum, and what looks like a pair of horns is none."""
LEAST_SEPTA = 12
"""Profiles that must show a septum."""
SPREAD_LIMIT_MM, SCATTER_LIMIT_MM = 8.0, 16.0
"""Half of the estimates agree within the first, as they count; half of all profiles within the second; or nothing is
measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """HU on a grid of head coordinates around the frontal horns.

    Attributes
    ----------
    hu : (z, y, x) at ``UP_MM``, ``BACK_MM``, ``ACROSS_MM``; NaN outside of the scan.
    brain_hu, fluid_hu : of brain and of the fluid within.
    """

    hu: NDArray[np.float32]
    brain_hu: float
    fluid_hu: float

    @property
    def fluid(self) -> NDArray[np.float32]:
        """(z, y, x) share of fluid, 0 in brain and 1 in fluid."""
        share = (self.brain_hu - self.hu) / max(self.brain_hu - self.fluid_hu, 1.0)
        return np.nan_to_num(np.where(self.hu < self.fluid_hu - 25.0, 0.0, np.clip(share, 0.0, 1.0)), nan=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Midline:
    """What was measured, mm.

    Attributes
    ----------
    shift_mm : of the septum from the mid-sagittal plane of the frame, to the patient's left positive. The middle of
        the inner tables is no better one: no skull is even.
    width_mm : between the inner tables at the septum.
    """

    shift_mm: float
    width_mm: float


def block_of(seen: Coarse, frame: Frame, brain_hu: float) -> Block:
    """Sample a scan around the frontal horns.

    Parameters
    ----------
    seen : with voxels of about a millimetre.
    """
    z, y, x = np.meshgrid(UP_MM, BACK_MM, ACROSS_MM, indexing="ij")
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    hu = seen.at(frame.to_patient(points)).reshape(z.shape)
    smooth = gaussian_filter(hu, (1.0, 1.0, SMOOTH_MM / STEP_MM))
    return Block(hu=smooth, brain_hu=brain_hu, fluid_hu=_fluid_hu(smooth, brain_hu))


def _fluid_hu(hu: NDArray[np.float32], brain_hu: float) -> float:
    """Of the darkest voxels where the horns are."""
    inner = hu[:, :, np.abs(ACROSS_MM) < REACH_MM]
    wet = inner[(inner < brain_hu - 8.0) & (inner > brain_hu - 45.0)]
    if wet.size < 0.005 * inner.size:
        return brain_hu - FLUID_BELOW_BRAIN_HU
    return float(np.quantile(wet, 0.2))


def inner_tables_mm(line_hu: NDArray[np.float32]) -> tuple[float, float] | None:
    """Where bone begins to the right (negative) and to the left, in head coordinates; None where it does not.

    Parameters
    ----------
    line_hu : (x,) at ``ACROSS_MM``.
    """
    bony = np.nan_to_num(line_hu, nan=-1000.0) > INNER_TABLE_HU
    left = np.flatnonzero(bony & (ACROSS_MM > INNER_TABLE_FROM_MM))
    right = np.flatnonzero(bony & (ACROSS_MM < -INNER_TABLE_FROM_MM))
    if not (left.size and right.size):
        return None
    return _edge_mm(line_hu, int(right[-1]), -1), _edge_mm(line_hu, int(left[0]), 1)


def _edge_mm(line_hu: NDArray[np.float32], index: int, outwards: int) -> float:
    """Where the line crosses the threshold, between two samples."""
    inside, outside = float(line_hu[index - outwards]), float(line_hu[index])
    share = (INNER_TABLE_HU - inside) / max(outside - inside, 1.0)
    return float(ACROSS_MM[index - outwards] + outwards * np.clip(share, 0.0, 1.0) * STEP_MM)


def septum_of(fluid: NDArray[np.float32]) -> tuple[float, float] | None:
    """x of the septum in a profile of fluid across the head, and how deep it lies between two horns (0 to 1).

    Parameters
    ----------
    fluid : (x,) share of fluid at ``ACROSS_MM``.

    Returns
    -------
    The middle of the deepest valley; None where none is deep enough.
    """
    near = np.abs(ACROSS_MM) <= REACH_MM + HORN_MM
    line, at = gaussian_filter1d(fluid, 0.7)[near], ACROSS_MM[near]
    reach = round(HORN_MM / STEP_MM)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(line, reach), reach).max(axis=1)
    before, after = windows[: len(line)], windows[reach + 1 : reach + 1 + len(line)]
    depth = np.where(np.abs(at) <= REACH_MM, np.minimum(before, after) - line, -1.0)
    deepest = int(np.argmax(depth))
    if depth[deepest] < LEAST_VALLEY:
        return None
    return _middle_of_valley(line, at, deepest, float(depth[deepest])), float(depth[deepest])


def _middle_of_valley(line: NDArray[np.float32], at: NDArray[np.float64], deepest: int, depth: float) -> float:
    """Halfway between the places where the line rises to half of its depth."""
    level = line[deepest] + 0.5 * depth
    return (_rise_mm(line, at, deepest, -1, level) + _rise_mm(line, at, deepest, 1, level)) / 2.0


def _rise_mm(line: NDArray[np.float32], at: NDArray[np.float64], start: int, step: int, level: float) -> float:
    index = start
    while 0 < index < len(line) - 1 and line[index + step] < level:
        index += step
    inner, outer = float(line[index]), float(line[index + step]) if 0 < index < len(line) - 1 else level
    share = np.clip((level - inner) / max(outer - inner, 1e-6), 0.0, 1.0)
    return float(at[index] + step * share * STEP_MM)


def midline_of(block: Block) -> Midline | None:
    """Midline shift where the septum is seen best; None where it is not seen.

    Each height and depth of the block gives an estimate; the median counts, each by the depth of its valley and by how
    near it is to the middle of the septum, where a shift is largest.
    """
    seen = np.array(list(_septa(block)))
    if len(seen) < LEAST_SEPTA:
        return None
    seen = seen[np.argsort(seen[:, 0])]
    weight = np.cumsum(seen[:, 2]) / seen[:, 2].sum()
    low, middle, high = (seen[int(np.searchsorted(weight, share))] for share in (0.25, 0.5, 0.75))
    if high[0] - low[0] > SPREAD_LIMIT_MM or np.subtract(*np.quantile(seen[:, 0], (0.75, 0.25))) > SCATTER_LIMIT_MM:
        return None
    found = Midline(shift_mm=float(middle[0]), width_mm=float(middle[1]))
    return found if abs(found.shift_mm) <= MOST_SHIFT_MM else None


def _septa(block: Block) -> Iterator[tuple[float, float, float]]:
    """Of each profile that shows a septum: where it lies, the inner width of the skull, how much it counts."""
    fluid = block.fluid
    for k, height_mm in enumerate(UP_MM):
        for j, back_mm in enumerate(BACK_MM):
            septum, tables = septum_of(fluid[k, j]), inner_tables_mm(block.hu[k, j])
            if septum is not None and tables is not None and _is_tissue(block, fluid, k, j, septum[0]):
                away = ((back_mm - SEPTUM_MM[0]) / SPREAD_MM[0]) ** 2 + ((height_mm - SEPTUM_MM[1]) / SPREAD_MM[1]) ** 2
                yield septum[0], tables[1] - tables[0], septum[1] ** 2 * float(np.exp(-away))


def _is_tissue(block: Block, fluid: NDArray[np.float32], k: int, j: int, septum_mm: float) -> bool:
    """Whether all between the two horns of a profile is brain: a bleed between its oedema is no septum."""
    at, reach = int(np.argmin(np.abs(ACROSS_MM - septum_mm))), round(HORN_MM / STEP_MM)
    right = at - reach + int(np.argmax(fluid[k, j, at - reach : at + 1]))
    left = at + int(np.argmax(fluid[k, j, at : at + reach + 1]))
    return bool(np.nanmax(block.hu[k, j, right : left + 1]) < block.brain_hu + DENSE_HU)


def evans_of(block: Block, midline: Midline, seen: Coarse, frame: Frame) -> float | None:
    """Largest width of the frontal horns over the largest inner width of the skull there; None where unseen."""
    fluid, widths = block.fluid, np.zeros((len(UP_MM), len(BACK_MM)))
    for k in range(len(UP_MM)):
        for j in np.flatnonzero(BACK_MM < FRONTAL_MM):
            widths[k, j] = _horns_mm(fluid[k, j], midline.shift_mm) or 0.0
    # one profile that runs into a fissure is no horn
    usual = median_filter(widths, 3, mode="nearest")
    height = int(np.argmax(usual.max(axis=1)))
    inner_mm = _inner_width_mm(seen, frame, float(UP_MM[height]))
    if usual.max() <= 0.0 or inner_mm is None:
        return None
    return float(usual[height].max() / inner_mm)


def _horns_mm(fluid: NDArray[np.float32], septum_mm: float) -> float | None:
    """From the outer border of one horn to that of the other; None where there are not two."""
    left = _outer_border_mm(fluid, ACROSS_MM, septum_mm)
    right = _outer_border_mm(fluid[::-1], -ACROSS_MM[::-1], -septum_mm)
    return None if left is None or right is None else left + right


def _outer_border_mm(fluid: NDArray[np.float32], at: NDArray[np.float64], middle_mm: float) -> float | None:
    """Where the horn to the left of the septum ends, at half fluid."""
    beyond = np.flatnonzero((at > middle_mm) & (at < middle_mm + HORN_FROM_MM) & (fluid > HORN_SHARE))
    if not beyond.size:
        return None
    index = int(beyond[0])
    while index < len(fluid) - 1 and fluid[index + 1] > HORN_SHARE:
        index += 1
    inside, outside = float(fluid[index]), float(fluid[min(index + 1, len(fluid) - 1)])
    return float(at[index] + STEP_MM * np.clip((inside - HORN_SHARE) / max(inside - outside, 1e-3), 0.0, 1.0))


def _inner_width_mm(seen: Coarse, frame: Frame, height_mm: float) -> float | None:
    """Largest distance between the inner tables at a height."""
    y, x = np.meshgrid(SKULL_BACK_MM, ACROSS_MM, indexing="ij")
    points = np.stack([x, y, np.full_like(x, height_mm)], axis=-1).reshape(-1, 3)
    tables = [inner_tables_mm(line) for line in seen.at(frame.to_patient(points)).reshape(x.shape)]
    widths = [left - right for right, left in (pair for pair in tables if pair is not None)]
    return max(widths) if widths else None

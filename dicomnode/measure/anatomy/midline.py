"""Midline shift at the septum pellucidum, and the Evans index from the frontal horns.

Where the septum lies, a small network says (:mod:`dicomnode.measure.anatomy.looking`), and where it would lie had
nothing moved a regression (:mod:`dicomnode.measure.anatomy.middle`). Where the network is not sure nothing is measured,
and where not both horns are seen there is no index; that is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.looking import Place
from dicomnode.measure.anatomy.sampling import Coarse

STEP_MM = 1.0
ACROSS_MM = np.arange(-85.0, 85.0 + STEP_MM, STEP_MM)
BACK_MM = np.arange(-38.0, 12.0, 2.0)
UP_MM = np.arange(2.0, 27.0, 2.0)
"""Where frontal horns and septum are, in head coordinates; how far they may be moved aside is ``REACH_MM``."""
REACH_MM = 18.0
HORN_FROM_MM = 9.0
"""A horn begins nearer to the septum than this."""
SMOOTH_MM = 1.0
INNER_TABLE_HU, INNER_TABLE_FROM_MM = 200.0, 45.0
FLUID_BELOW_BRAIN_HU = 25.0
"""Fluid lies about this far below brain, where it cannot be measured."""
FRONTAL_MM = -8.0
"""Frontal horns lie in front of this (y); behind it is the body of the ventricle."""
SKULL_BACK_MM = np.arange(-30.0, 51.0, 10.0)
"""Where the widest place of the inner skull is looked for."""
HORN_SHARE = 0.6
"""Where a horn ends: the white matter around it is darker than brain on the whole."""
MOST_SHIFT_MM = 20.0
"""No septum is seen farther aside: what looks like one is none."""
LEAST_SURE = 0.4
"""How sure the network must be."""
BESIDE_SEPTUM_MM = (-22.0, 2.0)
"""Where the inner width of the skull is taken (y): beside the septum."""


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
    shift_mm : of the septum from the mid-sagittal plane, to the patient's left positive. The middle of the inner tables
        is no such plane: no skull is even.
    septum_mm : of the septum in the frame (x).
    width_mm : between the inner tables at the septum; None where they are not seen.
    """

    shift_mm: float
    septum_mm: float
    width_mm: float | None


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


def midline_of(block: Block, septum: Place, middle_mm: float) -> Midline | None:
    """Midline shift; None where the septum's place is not sure.

    Parameters
    ----------
    middle_mm : where the mid-sagittal plane passes the septum, x in the frame.
    """
    shift_mm = septum.x_mm - middle_mm
    if septum.sureness < LEAST_SURE or abs(shift_mm) > MOST_SHIFT_MM:
        return None
    return Midline(shift_mm=shift_mm, septum_mm=septum.x_mm, width_mm=_width_mm(block))


def _width_mm(block: Block) -> float | None:
    """The usual width between the inner tables beside the septum."""
    front_mm, back_mm = BESIDE_SEPTUM_MM
    beside = (front_mm <= BACK_MM) & (back_mm >= BACK_MM)
    tables = [inner_tables_mm(line) for line in block.hu[:, beside].reshape(-1, len(ACROSS_MM))]
    widths = [left - right for right, left in (pair for pair in tables if pair is not None)]
    return float(np.median(widths)) if widths else None


def evans_of(block: Block, midline: Midline, seen: Coarse, frame: Frame) -> float | None:
    """Largest width of the frontal horns over the largest inner width of the skull there; None where unseen."""
    fluid, widths = block.fluid, np.zeros((len(UP_MM), len(BACK_MM)))
    for k in range(len(UP_MM)):
        for j in np.flatnonzero(BACK_MM < FRONTAL_MM):
            widths[k, j] = _horns_mm(fluid[k, j], midline.septum_mm) or 0.0
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

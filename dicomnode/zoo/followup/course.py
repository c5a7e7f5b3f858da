"""A predicted scan held against the CT that came, voxel by voxel, for audit: HU errors where something changes.

Both scans and the forecast are seen on the grid of the network, each from its own brain, since scanners are off by
some HU each time. What changed is told by both sides, by what came and by what was foretold, so that a change that was
foretold in vain counts as much as one that was missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool3d, max_pool3d

from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import Volume
from dicomnode.zoo.followup.grid import VOXEL_ML, FollowUpHead, head_of, relative_hu
from dicomnode.zoo.grid import volume_on

CHANGED_HU = 5.0
"""A voxel that differs by as much, averaged with its neighbours, has changed: noise and the edges of sulci do less."""
NOT_AIR_HU = -150.0
FREE = 0.05
"""Share of a voxel that is marked below which it is free of blood: a predicted scan never shows a bleed."""
LEAST_VOXELS = 20
"""In fewer no error is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseFigures:
    """How near a forecast came, on voxels of 6 x 3 x 3 mm within the skull that both scans show.

    Attributes
    ----------
    known_ml : of brain that both scans show. changed_ml : of it that changed, or was foretold to, without blood.
    error_hu : mean absolute error of the forecast where it changed; None in fewer than 20 voxels.
    unchanged_hu : the same of the first scan as it was: whoever foretells that nothing changes.
    outside_hu, outside_unchanged_hu : both where nothing changed.
    shift_mm, turn_deg : by how much the head lay otherwise, about the middle of the first brain.
    """

    known_ml: float
    changed_ml: float
    error_hu: float | None
    unchanged_hu: float | None
    outside_hu: float | None
    outside_unchanged_hu: float | None
    shift_mm: float
    turn_deg: float


def course_figures(
    first: Volume,
    forecast_hu: NDArray[np.float32],
    later: Volume,
    motion: NDArray[np.float64],
    blood: NDArray[np.bool_],
) -> CourseFigures:
    """Lay the later scan onto the first one and measure.

    Parameters
    ----------
    forecast_hu : (slices, rows, columns) as predicted on the slices of ``first``, in stack order.
    motion : (4, 4) from where a point lies in ``first`` to where it lies in ``later``, RAS mm.
    blood : the same shape as ``later``; what is marked there.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD``, ``NOT_AXIAL``: the first scan has no brain to look at.
    """
    head = head_of(first)
    came = _came(head, volume_on(later, first.stack, motion))
    free = ~_near(head, volume_on(replace(later, hu=blood.astype(np.float32)), first.stack, motion))
    said = relative_hu(head.grid, forecast_hu, head.grid.brain_hu)
    before, known = head.image[0], head.inner & (came > NOT_AIR_HU)
    changed = (_smooth(came - before) >= CHANGED_HU) | (_smooth(said - before) >= CHANGED_HU)
    within, outside = known & changed & free, known & ~changed
    shift_mm, turn_deg = _moved(motion, _middle_mm(head, first))
    return CourseFigures(
        known_ml=round(float(known.sum()) * VOXEL_ML, 1),
        changed_ml=round(float(within.sum()) * VOXEL_ML, 1),
        error_hu=_mean(said - came, within),
        unchanged_hu=_mean(before - came, within),
        outside_hu=_mean(said - came, outside),
        outside_unchanged_hu=_mean(before - came, outside),
        shift_mm=shift_mm,
        turn_deg=turn_deg,
    )


def _came(head: FollowUpHead, hu: NDArray[np.float32]) -> torch.Tensor:
    """(24, 64, 64) HU of the later scan from its own commonest of the brain."""
    brain = head.grid.planes.orientation.from_canonical(head.grid.brain)
    found = commonest_soft_tissue_hu(hu[brain])
    return relative_hu(head.grid, hu, head.grid.brain_hu if found is None else found)


def _near(head: FollowUpHead, marked: NDArray[np.float32]) -> torch.Tensor:
    """(24, 64, 64) bool, what holds a mark or lies beside one: marks end where blood thins out."""
    share = head.grid.sampled(head.grid.planes.orientation.to_canonical(marked.clip(0.0, 1.0)), 0.0)
    return max_pool3d(share[None, None], 3, stride=1, padding=1)[0, 0] >= FREE


def _smooth(change: torch.Tensor) -> torch.Tensor:
    """Size of a change, averaged with the neighbours of each voxel."""
    return avg_pool3d(change[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0].abs()


def _mean(error: torch.Tensor, where: torch.Tensor) -> float | None:
    return round(float(error[where].abs().mean()), 2) if int(where.sum()) >= LEAST_VOXELS else None


def _middle_mm(head: FollowUpHead, first: Volume) -> NDArray[np.float64]:
    """The middle of the brain, RAS mm."""
    brain = head.grid.planes.orientation.from_canonical(head.grid.brain)
    at, row, column = (float(np.mean(places)) for places in np.nonzero(brain))
    stack = first.stack
    place = stack.positions_mm[round(at)] + stack.column_cosines * stack.row_spacing_mm * row
    place = place + stack.row_cosines * stack.column_spacing_mm * column
    return np.asarray(place * (-1.0, -1.0, 1.0))


def _moved(motion: NDArray[np.float64], middle_mm: NDArray[np.float64]) -> tuple[float, float]:
    """How far the middle went, mm, and by how much the head turned, degrees."""
    went_mm = motion[:3, :3] @ middle_mm + motion[:3, 3] - middle_mm
    cosine = np.clip((np.trace(motion[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)
    return round(float(np.linalg.norm(went_mm)), 1), round(float(np.degrees(np.arccos(cosine))), 1)

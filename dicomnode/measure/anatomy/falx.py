"""Where the mid-sagittal plane passes the septum, seen along falx, fissure and the inner tables of the skull.

A bleed moves septum and ventricles; where falx and skull hold the midline it moves nothing. A small network
(:mod:`dicomnode.measure.anatomy.looking`) looks at the head from the side: of every place in the frame's own plane it
says where across the midline runs, had nothing moved, and how sure that is. A plane is fitted through what it says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.looking import Field, Layers, learned, scored
from dicomnode.measure.anatomy.sampling import Coarse

NAME = "falx"
ACROSS_MM = np.arange(-14.0, 15.0)
BACK_MM = np.arange(-93.0, 97.0, 3.0)
UP_MM = np.arange(-24.0, 69.0, 4.0)
"""Head coordinates that are looked at; rows and columns are multiples of 8."""
WIDE_MM = np.arange(-85.0, 86.0)
WINDOWS_HU = ((-30.0, 30.0), (-8.0, 24.0), (8.0, 30.0))
"""Fluid, brain, blood and dura: where each window begins above brain and how wide it is."""
TABLE_HU, TABLE_FROM_MM, TABLES_MM = 200.0, 10.0, 4.0
"""What bone is, how far aside it begins at least, and the scale of the middles between the two inner tables."""
SEPTUM_MM = (-10.0, 16.0)
"""Where the plane is asked for: back, up."""
REACH_MM, LEAST_SPREAD = 50.0, 0.02
"""Scale of places in the fit, and what keeps it where all is seen in one spot."""
CHANNELS = len(WINDOWS_HU) * len(ACROSS_MM) + 4
OUTPUTS = len(ACROSS_MM) + 1
"""Of every place how likely each step across is, and how much the place counts."""


def side_view(seen: Coarse, frame: Frame, brain_hu: float, across_mm: NDArray[np.float64] = ACROSS_MM) -> Field:
    """(up, back, across) HU above brain; NaN outside of the scan.

    Parameters
    ----------
    seen : with voxels of about a millimetre.
    """
    z, y, x = np.meshgrid(UP_MM, BACK_MM, across_mm, indexing="ij")
    hu = seen.at(frame.to_patient(np.stack([x, y, z], axis=-1).reshape(-1, 3)))
    return np.asarray(hu.reshape(z.shape) - brain_hu, np.float32)


def middles_mm(seen: Coarse, frame: Frame) -> Field:
    """(up, back) middle between the inner tables, x in the frame; NaN where not both are seen."""
    hu = np.nan_to_num(side_view(seen, frame, 0.0, WIDE_MM), nan=-1000.0)
    bone = hu > TABLE_HU
    left, right = bone & (WIDE_MM > TABLE_FROM_MM), bone & (WIDE_MM < -TABLE_FROM_MM)
    at_left, at_right = WIDE_MM[left.argmax(axis=-1)], -WIDE_MM[right[..., ::-1].argmax(axis=-1)]
    both = left.any(axis=-1) & right.any(axis=-1)
    # WIDE_MM is even: its last value is the mirror image of its first
    return np.asarray(np.where(both, (at_left + at_right) / 2.0, np.nan), np.float32)


def channels_of(above_brain_hu: Field, middles: Field) -> Field:
    """(channels, up, back) what the network reads; what lies outside of the scan is taken for brain."""
    hu = np.moveaxis(np.nan_to_num(above_brain_hu, nan=0.0), -1, 0)
    windows = [np.clip((hu - low) / width, 0.0, 1.0) for low, width in WINDOWS_HU]
    tables = np.clip(np.nan_to_num(middles, nan=0.0) / TABLES_MM, -3.0, 3.0)
    y, z = places()
    return np.concatenate([*windows, np.stack([tables, np.isfinite(middles), y, z])]).astype(np.float32)


def places() -> tuple[Field, Field]:
    """(up, back) how far each place lies behind and above the septum, in ``REACH_MM``."""
    z, y = np.meshgrid((UP_MM - SEPTUM_MM[1]) / REACH_MM, (BACK_MM - SEPTUM_MM[0]) / REACH_MM, indexing="ij")
    return y.astype(np.float32), z.astype(np.float32)


def middle_mm(seen: Coarse, frame: Frame, brain_hu: float) -> float:
    """Where the mid-sagittal plane passes the septum, x in the frame. A mirrored head has the opposite.

    Parameters
    ----------
    seen : with voxels of about a millimetre. brain_hu : commonest attenuation of the brain.
    """
    hu, middles, layers = side_view(seen, frame, brain_hu), middles_mm(seen, frame), learned(NAME)
    return (fitted(hu, middles, layers) - fitted(hu[..., ::-1], -middles, layers)) / 2.0


def fitted(above_brain_hu: Field, middles: Field, layers: Layers) -> float:
    """Where the plane through what the network says passes the septum."""
    said = scored(channels_of(above_brain_hu, middles), layers)
    risen = np.exp(said[:-1] - said[:-1].max(axis=0))
    at_mm = np.tensordot(ACROSS_MM, risen / risen.sum(axis=0), axes=1)
    return plane_at_septum(at_mm.ravel(), np.logaddexp(0.0, said[-1]).ravel())


def plane_at_septum(at_mm: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    """Least squares of a plane through places that count by their weights, at the septum.

    Parameters
    ----------
    at_mm, weights : (places,) in the order of :func:`places`.
    """
    y, z = places()
    terms = np.stack([np.ones(y.size), y.ravel(), z.ravel()], axis=1)
    weighted = terms * (weights / weights.sum())[:, None]
    normal = weighted.T @ terms + LEAST_SPREAD * np.diag([0.0, 1.0, 1.0])
    return float(np.linalg.solve(normal, weighted.T @ at_mm)[0])

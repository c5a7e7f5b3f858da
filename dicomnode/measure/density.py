"""Marks that are no blood because they are too dense: bone, calcium, contrast.

A voxel is *dense* where it lies far above the brain of the same exam (:mod:`dicomnode.measure.parenchyma`), and a mark
is dense where more than a share of its voxels is. The mean would not do: the rim of a bone mixes with brain, so that a
false mark along it has the mean of blood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.lesions import components
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import Volume


@dataclass(frozen=True, slots=True)
class DenseRule:
    """When a mark is too dense.

    Attributes
    ----------
    above_brain_hu : a voxel further above the brain than this is dense.
    share : a mark with more than this share of dense voxels is no blood.
    least_ml : smaller marks are not looked at: they are not counted anyway.
    """

    above_brain_hu: float
    share: float
    least_ml: float

    def in_words(self) -> str:
        """As results state it, such as ``more than 20 % of it over 75 HU above the brain``."""
        return f"more than {100 * self.share:g} % of it over {self.above_brain_hu:g} HU above the brain"


@dataclass(frozen=True, slots=True)
class DenseMarks:
    """What was taken out of a mask."""

    pieces: int
    volume_ml: float


NO_DENSE = DenseMarks(0, 0.0)


def dense_share(hu: NDArray[np.float32], brain_hu: float, above_brain_hu: float) -> float:
    """Share of the voxels of a mark that lie further above the brain.

    >>> dense_share(np.array([60, 70, 140, 30], np.float32), 30.0, 75.0)
    0.25
    """
    return float((hu > brain_hu + above_brain_hu).mean())


def without_dense(mask: NDArray[np.bool_], volume: Volume, rule: DenseRule) -> tuple[NDArray[np.bool_], DenseMarks]:
    """A mask without its dense pieces, and what they were.

    Parameters
    ----------
    mask : (slices, rows, columns), in the stack order of ``volume``; it is itself returned where nothing is taken out.
    """
    brain_hu = commonest_soft_tissue_hu(volume.hu)
    if brain_hu is None:
        return mask, NO_DENSE
    dense = [
        piece
        for piece in components(mask, volume.stack)
        if piece.volume_ml >= rule.least_ml
        and dense_share(volume.hu[piece.box][piece.voxels], brain_hu, rule.above_brain_hu) > rule.share
    ]
    if not dense:
        return mask, NO_DENSE
    kept = mask.copy()
    for piece in dense:
        kept[piece.box][piece.voxels] = False
    return kept, DenseMarks(len(dense), float(sum(piece.volume_ml for piece in dense)))

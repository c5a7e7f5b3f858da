"""What the second painter works on: the part of the block that holds the brain, and the lesions of one scan."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import Canvas, Tissue
from dicomnode.cohort.edition import Edition
from dicomnode.cohort.fields import Field
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.painter import Anatomy
from dicomnode.cohort.streams import stream

Index = NDArray[np.intp]
MARGIN = 3
LOWEST_MM = -78.0
"""Nothing is painted below: there is only the neck."""


@dataclass(slots=True, kw_only=True)
class Ground:
    """Arrays of the brain's box (z, y, x), contiguous, so that a voxel has a flat index.

    Attributes
    ----------
    box : place in the block. ``canvas`` : its part of the head, a copy.
    distance, inside : signed distance to the inner skull, and share of each voxel within it.
    regions, findings : labels, uint8.
    """

    seed: int
    box: tuple[slice, slice, slice]
    canvas: Canvas
    distance: Field
    inside: Field
    regions: NDArray[np.uint8]
    findings: NDArray[np.uint8]
    shown: Lesions
    edition: Edition

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return self.canvas.spacing_mm**3 / 1000.0

    @property
    def matter(self) -> NDArray[np.bool_]:
        """Grey and white matter."""
        labels = self.canvas.labels
        return np.asarray((labels == Tissue.WHITE_MATTER) | (labels == Tissue.GREY_MATTER))

    def rng(self, name: str) -> np.random.Generator:
        """The named stream of this head's lesions: the same at each scan."""
        return stream(self.seed, "scene", name)

    def backward_mm(self, index: Index) -> Field:
        """How far towards the couch each voxel lies: down, for a patient on the back, however the head is turned."""
        _, rows, columns = self.canvas.shape
        return np.asarray((index // columns) % rows * self.canvas.spacing_mm, np.float32)

    def voxels(self, volume_ml: float) -> int:
        """Number of voxels of a volume."""
        return round(volume_ml / self.voxel_ml)

    def put(self, finding: Finding, index: Index, order: Field, volume_ml: float) -> Index:
        """Enter a lesion of one volume into ``findings``: the free voxels of smallest order.

        Parameters
        ----------
        index : flat, where it may lie; ``order`` : of each.

        Returns
        -------
        Flat indices; fewer than wanted where there is no room.
        """
        free = (self.findings.ravel()[index] == Finding.NONE) & np.isfinite(order)
        index, order = index[free], order[free]
        count = min(self.voxels(volume_ml), index.size)
        grown = index[np.argpartition(order, count - 1)[:count]] if count else index[:0]
        self.findings.ravel()[grown] = finding
        return np.asarray(grown)


def brain_box(distance: Field, z: Field) -> tuple[slice, slice, slice]:
    """Index box of the brain, with a margin; ``distance`` to the inner skull is negative inside."""
    cavity = (distance < 0) & (z > LOWEST_MM)
    slices = []
    for axis, length in enumerate(cavity.shape):
        where = np.flatnonzero(cavity.any(axis=tuple(k for k in range(3) if k != axis)))
        slices.append(slice(max(int(where[0]) - MARGIN, 0), min(int(where[-1]) + MARGIN + 1, length)))
    return slices[0], slices[1], slices[2]


def ground_of(base: Anatomy, shown: Lesions, edition: Edition) -> Ground:
    """Copy the brain's part of a head, without findings yet."""
    box, canvas = brain_box(base.distance, base.canvas.z), base.canvas
    x, y, z = (np.ascontiguousarray(axis[box]) for axis in (canvas.x, canvas.y, canvas.z))
    hu, labels = canvas.hu[box].copy(), canvas.labels[box].copy()
    return Ground(
        seed=base.seed,
        box=box,
        canvas=dataclasses.replace(canvas, x=x, y=y, z=z, hu=hu, labels=labels),
        distance=np.ascontiguousarray(base.distance[box]),
        inside=np.ascontiguousarray(base.inside[box]),
        regions=base.regions[box].copy(),
        findings=np.zeros(hu.shape, np.uint8),
        shown=shown,
        edition=edition,
    )

"""Where lesions lie: side, region and third of the scanned head, and what the head as a whole shows.

The anatomical frame tells side and region; where it is not found, the plane of the skull tells the side. A third of the
scanned height is no part of the brain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.frame import Frame, find_frame
from dicomnode.measure.anatomy.head import head_of
from dicomnode.measure.anatomy.location import location_of
from dicomnode.measure.anatomy.mirror import mirror_hu
from dicomnode.measure.anatomy.plane import BONE_HU, MidPlane, mid_plane
from dicomnode.measure.anatomy.sampling import Coarse, coarse, voxel_points_mm
from dicomnode.records import HeadMeasures, Level, Region, Side, Volume

MIDLINE_MM = 7.0
"""A centre nearer to the plane than this lies at the midline: the plane of a skull is some millimetres off the falx."""
LEAST_LIKENESS = 0.35
"""A frame in which the skull looks less like a skull than this is none."""


class Places:
    """Tells where regions of one volume lie; the head is looked at once, and only when somebody asks."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def told(self, region: Region, voxels: NDArray[np.intp]) -> Region:
        """The region with its place.

        Parameters
        ----------
        voxels : (voxels, 3) slice, row and column of each, in stack order.
        """
        levels = self._levels
        placed = replace(
            region,
            side=self._side_of(region),
            level=None if levels is None else levels.of(region.centroid_mm[2]),
        )
        if self.frame is None:
            return placed
        stack = self._volume.stack
        points_mm = self.frame.to_head(voxel_points_mm(stack, voxels))
        found = location_of(points_mm, stack.voxel_ml[voxels[:, 0]])
        return replace(
            placed,
            parts=found.parts,
            shares=found.shares,
            ventricular_share=found.ventricular_share,
            mirror_hu=None if placed.side is Side.MIDLINE else mirror_hu(self._coarse, self.frame, points_mm),
        )

    @cached_property
    def frame(self) -> Frame | None:
        """The anatomical frame; None where none was found that can be relied on."""
        frame = None if self._plane is None else find_frame(self._volume, self._plane)
        return frame if frame is not None and frame.likeness >= LEAST_LIKENESS else None

    @cached_property
    def head(self) -> HeadMeasures | None:
        """What the head as a whole shows; None without a frame."""
        return None if self.frame is None else head_of(self._volume, self.frame)

    def _side_of(self, region: Region) -> Side | None:
        if self.frame is not None:
            return side_of(float(self.frame.to_head(np.asarray(region.centroid_mm))[0]))
        return None if self._plane is None else side_of(self._plane.distance_mm(region.centroid_mm))

    @cached_property
    def _coarse(self) -> Coarse:
        return coarse(self._volume)

    @cached_property
    def _plane(self) -> MidPlane | None:
        return mid_plane(self._volume)

    @cached_property
    def _levels(self) -> _Levels | None:
        """Thirds of the height that shows bone; None where the slices are not stacked along the body."""
        stack = self._volume.stack
        if abs(stack.normal[2]) < np.cos(np.deg2rad(45.0)):
            return None
        skull = np.flatnonzero((self._volume.hu > BONE_HU).any(axis=(1, 2)))
        if not skull.size:
            return None
        centre_mm = _centres_z_mm(self._volume)
        ends = centre_mm[[skull[0], skull[-1]]]
        return _Levels(float(ends.min()), float(ends.max()))


def side_of(left_mm: float) -> Side:
    """Of a distance from the mid-sagittal plane, positive to the patient's left."""
    if abs(left_mm) < MIDLINE_MM:
        return Side.MIDLINE
    return Side.LEFT if left_mm > 0 else Side.RIGHT


def _centres_z_mm(volume: Volume) -> NDArray[np.float64]:
    """(slices,) z of the middle of each slice: a tilted slice has no single height."""
    stack = volume.stack
    down = stack.rows / 2 * stack.row_spacing_mm * stack.column_cosines
    across = stack.columns / 2 * stack.column_spacing_mm * stack.row_cosines
    return np.asarray((stack.positions_mm + down + across)[:, 2])


@dataclass(frozen=True, slots=True)
class _Levels:
    """The scanned height of a head, z in mm: up is the crown."""

    lowest_mm: float
    highest_mm: float

    def of(self, z_mm: float) -> Level | None:
        """The third in which a height lies; None where there is no height to speak of."""
        height_mm = self.highest_mm - self.lowest_mm
        if height_mm <= 0:
            return None
        share = (z_mm - self.lowest_mm) / height_mm
        return Level.LOWER if share < 1 / 3 else Level.MIDDLE if share < 2 / 3 else Level.UPPER

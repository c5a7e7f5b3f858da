"""Rigid motion of a head between two scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import Point, rotation_matrix


@dataclass(frozen=True, slots=True)
class Motion:
    """Rigid motion: a point at ``p`` (x, y, z) on the first scan lies at ``R p + shift_mm`` on the second.

    Attributes
    ----------
    shift_mm : x to the left, y to the back, z to the crown.
    turn_deg : pitch, roll and yaw, applied in this order about the origin of the head.
    """

    shift_mm: Point = (0.0, 0.0, 0.0)
    turn_deg: Point = (0.0, 0.0, 0.0)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) R on (x, y, z)."""
        return rotation_matrix(self.turn_deg)

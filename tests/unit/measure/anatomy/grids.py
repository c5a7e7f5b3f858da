"""A head as a grid of 3 mm in its own coordinates, made by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.sampling import Coarse

X_MM, Y_MM, Z_MM = np.arange(-90.0, 91.0, 3.0), np.arange(-105.0, 106.0, 3.0), np.arange(-12.0, 80.0, 4.0)
SAME = Frame(matrix=np.eye(3, 4), likeness=1.0)
BRAIN_HU = 30.0


def coordinates() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """x, y, z of every voxel, (z, y, x)."""
    z, y, x = np.meshgrid(Z_MM, Y_MM, X_MM, indexing="ij")
    return x, y, z


def skull_and_brain() -> NDArray[np.float32]:
    """(z, y, x) HU: brain within an elliptic skull, the same in each slice."""
    x, y, _ = coordinates()
    radius = np.hypot(x / 78.0, y / 94.0)
    return np.where(radius < 0.93, BRAIN_HU, np.where(radius < 1.0, 900.0, -1000.0)).astype(np.float32)


def seen(hu: NDArray[np.float32]) -> Coarse:
    """As the frame samples it; patient coordinates are head coordinates."""
    origins = np.column_stack([np.full(len(Z_MM), X_MM[0]), np.full(len(Z_MM), Y_MM[0]), Z_MM])
    return Coarse(
        hu=hu,
        offsets_mm=Z_MM,
        origins_mm=origins,
        across=np.array([3.0, 0.0, 0.0]),
        down=np.array([0.0, 3.0, 0.0]),
        normal=np.array([0.0, 0.0, 1.0]),
    )

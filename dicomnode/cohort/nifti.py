"""CT and masks as NIfTI, where nibabel is installed (it is no dependency of the node).

A NIfTI has one affine, so an uneven stack is not written; a tilted even one is (its affine is sheared).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.acquire import AcquiredSeries

EVEN_MM = 0.01


def available() -> bool:
    """Whether nibabel is installed."""
    return importlib.util.find_spec("nibabel") is not None


def is_even(series: AcquiredSeries) -> bool:
    """Whether one affine describes the stack."""
    gaps = np.diff(series.acquisition.positions_mm)
    return bool(np.ptp(gaps) < EVEN_MM)


def affine_of(series: AcquiredSeries) -> NDArray[np.float64]:
    """(4, 4) index (column, row, slice, 1) to (x, y, z, 1) in RAS millimetres, as NIfTI wants (DICOM is LPS)."""
    first, pixel = series.image_positions_mm[0], series.acquisition.pixel_mm
    affine = np.eye(4)
    affine[:3, 0] = np.array(series.image_orientation[:3]) * pixel
    affine[:3, 1] = np.array(series.image_orientation[3:]) * pixel
    affine[:3, 2] = (series.image_positions_mm[-1] - first) / max(len(series.image_positions_mm) - 1, 1)
    affine[:3, 3] = first
    affine[:2] *= -1.0
    return affine


def write(series: AcquiredSeries, values: NDArray[Any], path: Path) -> bool:
    """Write (slices, rows, columns) values of a series as ``.nii.gz``; False where the stack is uneven."""
    if not is_even(series):
        return False
    import nibabel

    image = nibabel.Nifti1Image(np.ascontiguousarray(values.transpose(2, 1, 0)), affine_of(series))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return True

"""Any axial stack to one orientation and back: rows toward the back, columns to the left, slices toward the crown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import Refusal, SeriesError
from dicomnode.records import Stack

MIN_AXIAL_COSINE = 0.7
"""Slices whose normal is further than about 45 degrees from the body axis are not axial."""

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """Index changes that bring a stack to the canonical orientation; exact, without interpolation.

    Attributes
    ----------
    transpose : swap rows and columns first.
    flip_slices, flip_rows, flip_columns : then reverse these axes.
    row_spacing_mm, column_spacing_mm : of the canonical stack.
    """

    transpose: bool
    flip_slices: bool
    flip_rows: bool
    flip_columns: bool
    row_spacing_mm: float
    column_spacing_mm: float

    def _flips(self) -> tuple[slice, slice, slice]:
        flags = (self.flip_slices, self.flip_rows, self.flip_columns)
        a, b, c = (slice(None, None, -1) if flag else slice(None) for flag in flags)
        return a, b, c

    def to_canonical(self, values: NDArray[T]) -> NDArray[T]:
        """View of (slices, rows, columns) in the canonical orientation."""
        turned = values.transpose(0, 2, 1) if self.transpose else values
        return turned[self._flips()]

    def from_canonical(self, values: NDArray[T]) -> NDArray[T]:
        """View of a canonical array in the orientation of the source."""
        flipped = values[self._flips()]
        return flipped.transpose(0, 2, 1) if self.transpose else flipped

    def offsets_mm(self, stack: Stack) -> NDArray[np.float64]:
        """(slices,) distances along the upward normal, ascending, in canonical order."""
        return -stack.offsets_mm[::-1] if self.flip_slices else stack.offsets_mm


def orientation_of(stack: Stack) -> Orientation:
    """Orientation of an axial stack from its direction cosines (DICOM PS3.3 C.7.6.2.1.1; LPS coordinates).

    Raises
    ------
    SeriesError : ``NOT_AXIAL``, the normal is more than about 45 degrees from the body axis.
    """
    if abs(stack.normal[2]) < MIN_AXIAL_COSINE:
        raise SeriesError(Refusal.NOT_AXIAL)
    transpose = abs(stack.row_cosines[1]) > abs(stack.row_cosines[0])
    along_columns = stack.column_cosines if transpose else stack.row_cosines
    along_rows = stack.row_cosines if transpose else stack.column_cosines
    spacings = (stack.row_spacing_mm, stack.column_spacing_mm)
    row_spacing, column_spacing = spacings[::-1] if transpose else spacings
    return Orientation(
        transpose=bool(transpose),
        flip_slices=bool(stack.normal[2] < 0),
        flip_rows=bool(along_rows[1] < 0),
        flip_columns=bool(along_columns[0] < 0),
        row_spacing_mm=row_spacing,
        column_spacing_mm=column_spacing,
    )

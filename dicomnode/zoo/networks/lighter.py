"""A scan with fewer pixels, for what looks at a whole head and at nothing finer than a millimetre."""

from __future__ import annotations

from dataclasses import replace

from dicomnode.measure.blocks import block_means
from dicomnode.records import Stack, Volume

PIXEL_MM = 1.0
"""About the largest pixel that comes out."""


def lighter(volume: Volume) -> Volume:
    """The same scan with pixels of up to ``PIXEL_MM``, each the mean of those that it holds.

    Slices stay as they are; rows and columns that are left over at the far edges are left out. A scan whose pixels are
    larger already comes back as it is.
    """
    stack = volume.stack
    down, across = block_of(stack)
    if down == across == 1:
        return volume
    rows, columns = stack.rows // down, stack.columns // across
    first_mm = (down - 1) / 2 * stack.row_spacing_mm * stack.column_cosines
    first_mm = first_mm + (across - 1) / 2 * stack.column_spacing_mm * stack.row_cosines
    moved = replace(
        stack,
        positions_mm=stack.positions_mm + first_mm,
        rows=rows,
        columns=columns,
        row_spacing_mm=stack.row_spacing_mm * down,
        column_spacing_mm=stack.column_spacing_mm * across,
    )
    return Volume(block_means(volume.hu, down, across), moved, volume.sop_instance_uids)


def block_of(stack: Stack) -> tuple[int, int]:
    """Rows and columns of a scan that make one pixel of the lighter one."""
    down, across = (max(1, int(PIXEL_MM / mm + 0.01)) for mm in (stack.row_spacing_mm, stack.column_spacing_mm))
    return down, across

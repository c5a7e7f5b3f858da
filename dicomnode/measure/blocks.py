"""Means of blocks of pixels: what a scan with fewer pixels shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def block_means(values: NDArray[np.float32], down: int, across: int) -> NDArray[np.float32]:
    """(slices, rows // down, columns // across) means; what is left over at the far edges is left out.

    Pixel by pixel of the blocks, which is quicker than a mean over two axes.
    """
    rows, columns = (count // size for count, size in zip(values.shape[1:], (down, across), strict=True))
    total = np.zeros((len(values), rows, columns), np.float32)
    for row in range(down):
        for column in range(across):
            total += values[:, row : rows * down : down, column : columns * across : across]
    total /= down * across
    return total

"""Are these Hounsfield units? What lies outside of what the header allows is refused before any model sees it.

An overlay in bits that no header tells of, a wrong sign, swapped bytes and a wrong rescale all give numbers, and a
model would give a volume for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomnode.errors import Refusal, SeriesError
from dicomnode.images.bits import LOWEST_PADDING, has_overlay_bits, padding_of

LOWEST_HU = -1124.0
"""Air is -1000 and the scale begins at -1024; noise and ringing of sharp kernels go some 100 HU below."""
HIGHEST_HU = 4095.0
"""Cortical bone ends near 2000; metal lies above in an extended scale, in a few voxels of a slice."""
MAX_ODD_SHARE = 0.25
"""Of the voxels of a slice; a head fills a third of it and more."""
MAX_METAL_SHARE = 0.05
"""Of the voxels of a slice: all teeth crowned fill a fiftieth of it."""
MAX_STRAY_SHARE = 0.01
"""Of the voxels of a slice: streaks beside metal, and the edge of padding that was interpolated, lie below air."""
ROUNDING = 16
"""Stored values by which a lossy decoder may overshoot what BitsStored can hold."""
PADDING_VALUES, PADDING_SPREAD_HU = 4, 64.0
"""Different values of a padding that no header names, and how far a lossy codec spreads each; they touch the border."""


def require_plausible(ds: Dataset, stored: NDArray[np.int32], hu: NDArray[np.float32]) -> None:
    """Whether the values of one slice can be Hounsfield units by their own header.

    Parameters
    ----------
    stored, hu : (rows, columns) before and after the rescale, padding still in it.

    Raises
    ------
    SeriesError : ``IMPLAUSIBLE_HU``, with the shares seen.
    """
    image = ~(padding_of(ds, stored) | _untold_padding(hu))
    beyond = image & _beyond_bits(ds, stored)
    below = image & (hu < LOWEST_HU)
    above = image & (hu > HIGHEST_HU)
    odd = below | above
    if beyond.any():
        raise _implausible(f"{_share(beyond)} of a slice beyond {int(ds.BitsStored)} bits")
    if has_overlay_bits(ds) and (drawn := above | (image & (hu < LOWEST_PADDING))).any():
        raise _implausible(f"{_share(drawn)} of a slice may be an overlay in bits that BitsStored counts as image")
    if above.mean() > MAX_METAL_SHARE:
        raise _implausible(f"{_share(above)} of a slice above {HIGHEST_HU:.0f} HU")
    if below.mean() > MAX_STRAY_SHARE:
        raise _implausible(f"{_share(below)} of a slice below {LOWEST_HU:.0f} HU")
    if odd.mean() > MAX_ODD_SHARE:
        raise _implausible(f"{_share(odd)} of a slice outside {LOWEST_HU:.0f} to {HIGHEST_HU:.0f} HU")


def _implausible(detail: str) -> SeriesError:
    return SeriesError(Refusal.IMPLAUSIBLE_HU, detail)


def _share(mask: NDArray[np.bool_]) -> str:
    return f"{float(mask.mean()):.2%}"


def _beyond_bits(ds: Dataset, stored: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Values that BitsStored cannot hold, but what is too low for it and may be the edge of padding."""
    bits = int(ds.BitsStored)
    if ds.PixelRepresentation == 1:
        lowest = min(-(1 << (bits - 1)), LOWEST_PADDING)
        return np.asarray((stored > (1 << (bits - 1)) - 1 + ROUNDING) | (stored < lowest - ROUNDING))
    return np.asarray(stored > (1 << bits) - 1 + ROUNDING)


def _untold_padding(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The commonest values below air on the border of the slice, wherever they occur."""
    border = np.concatenate([hu[0], hu[-1], hu[:, 0], hu[:, -1]])
    values, counts = np.unique(np.rint(border[border < LOWEST_HU] / PADDING_SPREAD_HU), return_counts=True)
    commonest = values[np.argsort(-counts)[:PADDING_VALUES], None] + (-1, 0, 1)
    return np.asarray((hu < LOWEST_HU) & np.isin(np.rint(hu / PADDING_SPREAD_HU), commonest))

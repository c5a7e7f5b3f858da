"""The stored values among the allocated bits: overlays dropped, signs extended, padding told apart (DICOM PS3.5 8.1).

A cell of 16 bits may hold 12 of image. What lies in the rest is an overlay of old scanners, the sign, or a padding
value that BitsStored has no room for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import RLELossless

from dicomnode.dicom.values import number_of, value_of

LOWEST_PADDING = -4096
"""Scanners pad with -1500, -2000, -2048, -3024 and the like, also where BitsStored cannot hold them."""


def used_bits(ds: Dataset, pixels: NDArray[np.int32]) -> NDArray[np.int32]:
    """(rows, columns) values of the image bits alone.

    An overlay that the header places among the pixels is masked away. Without one, values that do not fit BitsStored
    are left alone: they say that BitsStored is wrong, not the values. Cut to 12 bits, a padding of -3024 would become
    1072, bone around the head.

    Parameters
    ----------
    pixels : (rows, columns) cells of BitsAllocated.
    """
    bits, allocated = int(ds.BitsStored), int(ds.BitsAllocated)
    if not 0 < bits < allocated:
        return pixels
    if _is_high_aligned(ds, pixels):
        return _masked(ds, pixels >> (int(ds.HighBit) + 1 - bits))
    return _masked(ds, pixels) if has_overlay_bits(ds) else _sign_extended(ds, pixels)


def _is_high_aligned(ds: Dataset, pixels: NDArray[np.int32]) -> bool:
    """Whether the image lies in the upper bits, as HighBit says; many that say so have it in the lower ones.

    The bits below it then hold an overlay or nothing. A decoder of JPEG hands out values, whatever HighBit says.
    """
    bits, high = int(ds.BitsStored), int(number_of(ds, "HighBit") or 0)
    if not bits <= high < int(ds.BitsAllocated) or _is_jpeg(ds) or pixels.max() < 1 << bits:
        return False
    below = pixels[pixels != 0] & ((1 << (high + 1 - bits)) - 1)
    return bool((below != 0).mean() < 0.5)


def _is_jpeg(ds: Dataset) -> bool:
    syntax = ds.file_meta.get("TransferSyntaxUID")
    return bool(getattr(syntax, "is_encapsulated", False)) and syntax != RLELossless


def _masked(ds: Dataset, pixels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The lower BitsStored bits, signed by the highest of them; padding that does not fit stays what it is."""
    bits = int(ds.BitsStored)
    low = pixels & ((1 << bits) - 1)
    kept = padding_of(ds, pixels)
    if ds.PixelRepresentation == 1:
        low = low - ((low >> (bits - 1)) << bits)
        kept = kept | ((pixels >> bits == -1) & (pixels >= LOWEST_PADDING))
    return np.asarray(np.where(kept, pixels, low), dtype=np.int32)


def _sign_extended(ds: Dataset, pixels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Signed pixels of a scanner that left the unused bits at zero."""
    bits = int(ds.BitsStored)
    if ds.PixelRepresentation == 1 and pixels.min() >= 0 and 1 << (bits - 1) <= pixels.max() < 1 << bits:
        return np.asarray(np.where(pixels >= 1 << (bits - 1), pixels - (1 << bits), pixels))
    return pixels


def has_overlay_bits(ds: Dataset) -> bool:
    """Whether an overlay lies among the bits of the pixels (retired, PS3.5 8.1.2).

    OverlayBitPosition says so; one of 0 only where the plane has no data of its own: then it can lie nowhere else.
    """
    tags = [BaseTag(tag) for tag in ds.keys()]  # noqa: SIM118 (a dataset iterates over its elements)
    groups = sorted({tag.group for tag in tags if 0x6000 <= tag.group <= 0x601E and tag.group % 2 == 0})
    return any(_is_among_pixels(ds, group) for group in groups)


def _is_among_pixels(ds: Dataset, group: int) -> bool:
    if (group, 0x3000) not in ds:
        return True
    try:
        return int(ds[group, 0x0102].value or 0) > 0
    except (KeyError, TypeError, ValueError, NotImplementedError):
        return False


def padding_of(ds: Dataset, stored: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mask of the values that the file names as padding; of none where it names none (PS3.3 C.7.5.1.1.2)."""
    first = padding_value(ds, "PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, dtype=bool)
    last = padding_value(ds, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    return np.asarray((stored >= low) & (stored <= high))


def padding_value(ds: Dataset, keyword: str) -> int | None:
    """A value written as US or SS, read as the pixels are: GE writes 63536 for -2000 of signed pixels."""
    value, bits = value_of(ds, keyword), int(ds.BitsAllocated)
    if not isinstance(value, int):
        return None
    if ds.PixelRepresentation == 1 and value >= 1 << (bits - 1):
        return value - (1 << bits)
    return value + (1 << bits) if ds.PixelRepresentation == 0 and value < 0 else value

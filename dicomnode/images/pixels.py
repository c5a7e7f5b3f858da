"""Decoded pixels of one CT slice: stored values, Hounsfield units, and a digest that survives recompression."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGExtended12Bit
from scipy import ndimage

from dicomnode.dicom.headers import slice_header_of
from dicomnode.dicom.received import BAD_FILE
from dicomnode.dicom.values import number_of
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import Refusal, SeriesError
from dicomnode.images import codecs
from dicomnode.images.bits import padding_of, padding_value, used_bits
from dicomnode.images.codestream import require_decodable
from dicomnode.images.plausibility import require_plausible

AIR_HU = -1024.0
"""What padding becomes, and the least value of a volume: GE pads with -1500, -2000 and -3024, at times untold."""
TISSUE_HU = -500.0
"""A padding value above this is a value that tissue has, too: 0 is water."""


def stored_values(ds: Dataset) -> NDArray[np.int32]:
    """(rows, columns) stored pixel values, signed pixels right whatever the transfer syntax.

    Raises
    ------
    SeriesError : ``NO_PIXELS``, ``MULTI_FRAME``, ``SECONDARY_CAPTURE`` (colour), ``IMPLAUSIBLE_SIZE`` (header and
        pixels do not say the same of it, or too much) or ``UNREADABLE`` (no decoder can).
    """
    if "PixelData" not in ds:
        raise SeriesError(Refusal.NO_PIXELS)
    if (number_of(ds, "NumberOfFrames") or 1) > 1:
        raise SeriesError(Refusal.MULTI_FRAME)
    try:
        require_decodable(ds)
        # pydicom would cut every value to BitsStored; see used_bits.
        pixels = pixel_array(ds, decoding_plugin=_plugin(ds), correct_unused_bits=False)
    except BAD_FILE as error:
        raise_unless_it_stays(error)
        raise SeriesError(Refusal.UNREADABLE, type(error).__name__) from error
    if pixels.ndim != 2:
        raise SeriesError(Refusal.SECONDARY_CAPTURE, "colour")
    return used_bits(ds, pixels.astype(np.int32))


def _plugin(ds: Dataset) -> str:
    """The decoder to ask; ``""`` for any. Asked for 12-bit JPEG, the other ones log an error for every slice."""
    if ds.file_meta.get("TransferSyntaxUID") != JPEGExtended12Bit or int(ds.BitsStored) <= 8:
        return ""
    codecs.register()
    return codecs.PLUGIN


def hounsfield(ds: Dataset, stored: NDArray[np.int32]) -> NDArray[np.float32]:
    """(rows, columns) Hounsfield units; padding and all below is ``AIR_HU`` (PS3.3 C.11.1.1.2, C.7.5.1.1.2).

    Raises
    ------
    SeriesError : ``NO_RESCALE``, or ``IMPLAUSIBLE_HU``: the values lie outside of what the header allows.
    """
    rescale = slice_header_of(ds).rescale
    if rescale is None or rescale[0] == 0:
        raise SeriesError(Refusal.NO_RESCALE)
    slope, intercept = rescale
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    require_plausible(ds, stored, hu)
    padding = padding_of(ds, stored)
    if padding.any():
        hu[padding if hu[padding].max(initial=AIR_HU) < TISSUE_HU else _outside(padding)] = AIR_HU
    return np.asarray(np.maximum(hu, np.float32(AIR_HU), out=hu))


def _outside(padding: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of ``padding`` that touches the border: inside a head the same value is tissue."""
    labels, _ = ndimage.label(padding)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.asarray(np.isin(labels, np.unique(border[border > 0])))


def digest_of(ds: Dataset, stored: NDArray[np.int32]) -> str:
    """sha256 (hex) over decoded pixels, position, orientation, spacing, rescale and padding.

    Equal for the same image with another header (a corrected patient name) or another lossless transfer syntax;
    numbers count to 1e-6, since DS may be written with more or less digits.
    """
    view = slice_header_of(ds)
    geometry: list[Any] = [
        _rounded(view.position_mm),
        _rounded(view.orientation),
        _rounded(view.pixel_spacing_mm),
        _rounded(view.rescale),
        padding_value(ds, "PixelPaddingValue"),
        padding_value(ds, "PixelPaddingRangeLimit"),
        stored.shape,
    ]
    digest = hashlib.sha256(repr(geometry).encode())
    digest.update(stored.astype("<i4").tobytes())
    return digest.hexdigest()


def _rounded(values: tuple[float, ...] | None) -> tuple[str, ...] | None:
    # + 0.0 turns -0.0 into 0.0.
    return None if values is None else tuple(f"{round(value, 6) + 0.0:.6f}" for value in values)


def pixel_digest(ds: Dataset) -> str:
    """:func:`digest_of` a dataset with pixels.

    Raises
    ------
    SeriesError : as :func:`stored_values`.
    """
    return digest_of(ds, stored_values(ds))

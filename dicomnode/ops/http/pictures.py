"""Overview pictures as PNG, from the files that the node itself encoded: RLE or plain, RGB."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import RLELossless

KEPT = 16


@lru_cache(maxsize=KEPT)
def png_of(path: Path) -> bytes:
    """The picture of a Secondary Capture file; a result file never changes.

    Raises
    ------
    OSError : it is not there any more.
    """
    ds = dcmread(path)
    shape = (int(ds.Rows), int(ds.Columns), 3)
    if ds.file_meta.TransferSyntaxUID == RLELossless:
        pixels = get_decoder(RLELossless).as_array(ds, decoding_plugin="pydicom", raw=True)[0]
    else:
        pixels = np.frombuffer(ds.PixelData, dtype=np.uint8)[: int(np.prod(shape))]
    held = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.reshape(shape))).save(held, "PNG")
    return held.getvalue()

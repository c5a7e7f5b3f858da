"""Files of others, read within bounds: so many bytes, so many elements, however deep; deflate streams up to a size.

A header is a few hundred elements in some kilobytes. A forged one has millions, each of which becomes an object of a
kilobyte and more in pydicom, and three megabytes of deflate stream may hold three gigabytes of zeros.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from pydicom.dataset import Dataset

from dicomnode.dicom.values import number_of
from dicomnode.errors import Refusal, SeriesError

MAX_HEADER_BYTES = 16 << 20
"""Of what is read in front of the pixels; long values that are passed over do not count."""
MAX_HEADER_ELEMENTS = 10_000
"""In front of the pixels, those within sequences and their items included; an item costs pydicom 0.1 ms and 1 kB."""
MAX_IMAGE_BYTES = 64 << 20
"""Of the pixels of one image, decoded: 4096 x 4096 of 32 bits. CT has 512 x 512 of 16, rarely four times as many."""
SLACK_BYTES = 1 << 20
"""What may stand behind the pixels, or pad them."""

_ELEMENT_HEAD_BYTES = 8
_INFLATED_AT_ONCE = 1 << 20

Read = TypeVar("Read")


class BoundedFile:
    """A binary file for pydicom that ends the reading when it has given what it may.

    Attributes
    ----------
    refusal : why it has; None while it has not. pydicom turns any error into others, so that whoever reads asks for it.
    """

    def __init__(
        self, file: BinaryIO, *, max_bytes: int = MAX_HEADER_BYTES, max_elements: int = MAX_HEADER_ELEMENTS
    ) -> None:
        self.refusal: SeriesError | None = None
        self.name = getattr(file, "name", None)
        self._file = file
        self._bytes, self._elements = max_bytes, max_elements

    def read(self, size: int = -1) -> bytes:
        """As a file reads.

        Raises
        ------
        SeriesError : ``HEADER_TOO_LARGE``: it has given what it may.
        """
        data = self._file.read(size if 0 <= size <= self._bytes else self._bytes + 1)
        self._bytes -= len(data)
        self._elements -= size == _ELEMENT_HEAD_BYTES
        if self._bytes < 0 or self._elements < 0:
            self.refusal = SeriesError(Refusal.HEADER_TOO_LARGE, "bytes" if self._bytes < 0 else "elements")
            raise self.refusal
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file seeks."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it stands."""
        return self._file.tell()


def within(file: BoundedFile, read: Callable[[BinaryIO], Read]) -> Read:
    """What ``read`` makes of a bounded file.

    Raises
    ------
    SeriesError : ``HEADER_TOO_LARGE``, whatever became of it on its way.
    Exception : that ``read`` raised.
    """
    try:
        return read(file)  # type: ignore[arg-type]
    except Exception:
        if file.refusal is not None:
            raise file.refusal from None
        raise


def inflated(file: BinaryIO, max_bytes: int) -> tuple[bytes, bool]:
    """A deflated data set (DICOM PS3.5 A.5) up to ``max_bytes``, and whether that is all of it.

    Raises
    ------
    zlib.error : it is none.
    """
    inflater, parts, size = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    while not inflater.eof and size <= max_bytes:
        packed = inflater.unconsumed_tail or file.read(_INFLATED_AT_ONCE)
        if not packed:
            break
        parts.append(inflater.decompress(packed, min(_INFLATED_AT_ONCE, max_bytes + 1 - size)))
        size += len(parts[-1])
    return b"".join(parts)[:max_bytes], size <= max_bytes


def image_bytes_of(header: Dataset) -> int:
    """How many bytes the pixels take, decoded, by Rows, Columns, bits, samples and frames; 0 where there are none.

    Raises
    ------
    SeriesError : ``IMPLAUSIBLE_SIZE``: more than ``MAX_IMAGE_BYTES``, or numbers that are none.
    """
    wanted = {"Rows": 0, "Columns": 0, "BitsAllocated": 16, "SamplesPerPixel": 1, "NumberOfFrames": 1}
    numbers = {keyword: number_of(header, keyword) for keyword in wanted}
    rows, columns, bits, samples, frames = (
        default if numbers[keyword] is None else int(numbers[keyword] or 0) for keyword, default in wanted.items()
    )
    size = rows * columns * -(-bits // 8) * samples * frames
    if not 0 <= size <= MAX_IMAGE_BYTES or min(rows, columns, bits, samples, frames) < 0:
        raise SeriesError(Refusal.IMPLAUSIBLE_SIZE, f"{frames} x {rows} x {columns} pixels of {samples} x {bits} bits")
    return size

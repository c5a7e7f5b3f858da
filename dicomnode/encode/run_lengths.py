"""Run-length encoding of a colour picture (DICOM PS3.5 annex G), all rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 64
LONGEST_RUN = 128


def run_length_frame(picture: NDArray[np.uint8]) -> bytes:
    """A picture as one RLE frame: a header, and a segment for each colour, each row encoded by itself.

    pydicom's own encoder gives the same bytes, a pixel at a time.

    Parameters
    ----------
    picture : (rows, columns, samples), at most 15 samples.
    """
    segments = [_segment(np.ascontiguousarray(picture[:, :, sample])) for sample in range(picture.shape[2])]
    starts = HEADER_BYTES + np.cumsum([0, *map(len, segments[:-1])])
    header = np.array([len(segments), *starts], dtype="<u4").tobytes()
    return header.ljust(HEADER_BYTES, b"\0") + b"".join(segments)


def _segment(plane: NDArray[np.uint8]) -> bytes:
    starts, lengths, is_replicate = _pieces(*_runs(plane))
    copied = np.where(is_replicate, 1, lengths)
    places = np.cumsum(1 + copied) - (1 + copied)
    encoded = np.zeros(int((1 + copied).sum()), dtype=np.uint8)
    encoded[places] = np.where(is_replicate, 257 - lengths, lengths - 1)
    encoded[np.repeat(places + 1, copied) + _nth(copied)] = plane.ravel()[np.repeat(starts, copied) + _nth(copied)]
    return encoded.tobytes() + b"\0" * (len(encoded) % 2)


def _runs(plane: NDArray[np.uint8]) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.bool_]]:
    """First byte, length and kind of the runs of all rows: one value repeated (True), or values as they are."""
    is_first = np.ones(plane.shape, dtype=bool)
    is_first[:, 1:] = plane[:, 1:] != plane[:, :-1]
    starts = np.flatnonzero(is_first)
    is_single = np.diff(starts, append=plane.size) == 1
    continues = np.zeros(len(starts), dtype=bool)
    continues[1:] = is_single[1:] & is_single[:-1] & (starts[1:] % plane.shape[1] != 0)
    starts, is_single = starts[~continues], is_single[~continues]
    return starts, np.diff(starts, append=plane.size), ~is_single


def _pieces(
    starts: NDArray[np.int_], lengths: NDArray[np.int_], is_repeated: NDArray[np.bool_]
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.bool_]]:
    """Runs cut where they are longer than one may be; a single value that is left over is written as it is."""
    pieces = -(-lengths // LONGEST_RUN)
    before = _nth(pieces) * LONGEST_RUN
    shortened = np.minimum(np.repeat(lengths, pieces) - before, LONGEST_RUN)
    return np.repeat(starts, pieces) + before, shortened, np.repeat(is_repeated, pieces) & (shortened > 1)


def _nth(counts: NDArray[np.int_]) -> NDArray[np.int_]:
    """0, 1, 2, ... for each of the counts, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)

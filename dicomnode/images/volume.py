"""The slices of one CT series -> one volume in Hounsfield units on its own slice grid."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomnode.dicom.geometry import stack_of
from dicomnode.dicom.headers import slice_header_of
from dicomnode.dicom.received import BAD_FILE, read_received
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import Refusal, SeriesError
from dicomnode.images.pixels import digest_of, hounsfield, stored_values
from dicomnode.records import Volume

DECODING_THREADS = min(4, os.cpu_count() or 1)
"""They hide the latency of a shared spool; decoding itself mostly holds the interpreter lock."""


@dataclass(frozen=True, slots=True)
class LoadedSeries:
    """A volume and what results need of its slices.

    Attributes
    ----------
    sources : one dataset per slice, without pixels, in stack order.
    input_digests : pixel and geometry digest (hex) of each slice, in stack order.
    """

    volume: Volume
    sources: tuple[Dataset, ...]
    input_digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Slice:
    source: Dataset
    hu: NDArray[np.float32]
    digest: str


def read_series(paths: Sequence[Path]) -> LoadedSeries:
    """Read, decode and sort the slices in ``paths``, in any order.

    Raises
    ------
    SeriesError : ``UNREADABLE``, ``NO_PIXELS``, ``NO_RESCALE``, ...: a slice cannot be used.
    InconsistentGeometry : the slices are no stack; see :func:`~dicomnode.dicom.geometry.stack_of`.
    OSError, MemoryError : a file is not there, or disk or memory failed; see :mod:`dicomnode.environment`.
    """
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        return _load(pool.map(_read_slice, paths))


def read_volume(paths: Sequence[Path]) -> Volume:
    """The volume alone; raises as :func:`read_series`."""
    return read_series(paths).volume


def _load(decoded: Iterable[_Slice]) -> LoadedSeries:
    slices = list(decoded)
    stack = stack_of([slice_header_of(item.source) for item in slices])
    ordered = [slices[index] for index in stack.order]
    volume = Volume(
        hu=np.stack([item.hu for item in ordered]),
        stack=stack,
        sop_instance_uids=tuple(str(item.source.get("SOPInstanceUID", "")) for item in ordered),
    )
    return LoadedSeries(volume, tuple(item.source for item in ordered), tuple(item.digest for item in ordered))


def _read_slice(path: Path) -> _Slice:
    try:
        ds = read_received(path)
    except BAD_FILE as error:
        raise_unless_it_stays(error)
        raise SeriesError(Refusal.UNREADABLE, type(error).__name__) from error
    return _decode(ds)


def _decode(ds: Dataset) -> _Slice:
    stored = stored_values(ds)
    source = Dataset({tag: ds.get_item(tag) for tag in sorted(ds.keys()) if tag.group != 0x7FE0})
    return _Slice(source=source, hu=hounsfield(ds, stored), digest=digest_of(ds, stored))

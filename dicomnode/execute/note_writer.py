"""Writes notes about results, in the worker process: rejections, and reports that nothing was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from dicomnode.dicom.received import BAD_FILE, at_pixels, read_leading, read_received
from dicomnode.encode.kinds.kos import encode_rejection
from dicomnode.encode.kinds.not_performed import encode_not_performed
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import SeriesError
from dicomnode.execute.limits import reading
from dicomnode.execute.tasks import NotPerformedTask, RejectionTask
from dicomnode.records import EncodedResult, NotPerformed, Rejection


def write_rejection(task: RejectionTask) -> EncodedResult:
    """The rejection note of a task.

    Raises
    ------
    EncodeError : it cannot be written as a valid object.
    OSError : the disk is full or gone.
    """
    identity = read_received(task.header, at_pixels)
    rejection = Rejection(
        results=task.results,
        identity=identity,
        timezone=task.timezone,
        station_ae_title=task.station_ae_title,
        why=task.why,
        language=task.language,
    )
    return encode_rejection(rejection, task.folder)


def write_not_performed(task: NotPerformedTask) -> EncodedResult:
    """The "not performed" report of a task.

    Raises
    ------
    EncodeError : no image can be parsed, or the report cannot be written as a valid object.
    OSError : the disk is full or gone, or an image is not there.
    """
    headers = tuple(_headers(task.paths))
    not_performed = NotPerformed(
        sources=headers,
        identity=headers[-1] if headers else None,
        refusal=task.refusal,
        detail=task.detail,
        protocol=task.protocol,
        research=task.research,
        generation=task.generation,
        timezone=task.timezone,
        station_ae_title=task.station_ae_title,
        language=task.language,
    )
    return encode_not_performed(not_performed, task.folder)


def _headers(paths: Sequence[Path]) -> Iterator[Dataset]:
    """Of the files that can be parsed and referred to; one that cannot may be the very reason."""
    ds: Dataset
    for path in paths:
        try:
            with reading(1):
                ds = read_received(path, at_pixels)
        except (SeriesError, *BAD_FILE) as fault:
            raise_unless_it_stays(fault)
            ds = read_leading(path)
        if "SOPInstanceUID" in ds and "SeriesInstanceUID" in ds:
            yield ds

"""A result that comes alone: written, read back and validated like those of a case."""

from __future__ import annotations

import struct
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from highdicom.base import SOPClass
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from dicomnode.encode.context import Envelope
from dicomnode.encode.files import bytes_of, publish, sha256_hex, write_temporary
from dicomnode.encode.validate import validate_shared
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import EncodeError
from dicomnode.kinds import Kind
from dicomnode.records import EncodedResult

LIBRARY_ERRORS = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    EOFError,
    OSError,
)
"""What highdicom and pydicom raise on values they cannot encode or read; of OSError those without a number."""


def named(error: Exception) -> str:
    """Type and place of a library's error; its message may quote a patient attribute, and this one is logged."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno} {frame.name}"


@contextmanager
def encoding(kind: Kind) -> Iterator[None]:
    """Names the kind in what the libraries raise; sources may break value rules without a warning that quotes them.

    Raises
    ------
    EncodeError : a library cannot encode a value.
    """
    with disable_value_validation():
        try:
            yield
        except LIBRARY_ERRORS as error:
            raise_unless_it_stays(error)
            raise EncodeError(f"{kind}: {named(error)}") from error


def record_of(ds: SOPClass, kind: Kind, content: bytes, path: Path, envelope: Envelope) -> EncodedResult:
    """What the other stages know of a result on disk."""
    return EncodedResult(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        path=path,
        sha256=sha256_hex(content),
        size_bytes=len(content),
        research=envelope.is_research,
    )


def write_single(
    ds: SOPClass, kind: Kind, envelope: Envelope, references: Iterable[Dataset], folder: Path
) -> EncodedResult:
    """Write one result, whole or not at all.

    Parameters
    ----------
    references : the instances that it may refer to.

    Raises
    ------
    EncodeError : it is no valid object; ``folder`` then holds nothing new.
    OSError : the disk is full or gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    with encoding(kind):
        content = bytes_of(ds)
    temporary = write_temporary(content, folder, path.name)
    try:
        with disable_value_validation():
            validate_shared(temporary, envelope, kind, {str(ref.SOPInstanceUID) for ref in references})
        publish({temporary: path})
    finally:
        temporary.unlink(missing_ok=True)
    return record_of(ds, kind, content, path, envelope)

"""Results on disk: a file is either whole or not there."""

from __future__ import annotations

import hashlib
import os
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset


def bytes_of(ds: Dataset) -> bytes:
    """A dataset in the DICOM file format (PS3.10 section 7).

    Raises
    ------
    ValueError, TypeError, AttributeError : an element has no valid encoding.
    """
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write_temporary(content: bytes, folder: Path, name: str) -> Path:
    """Write ``content`` under a temporary name beside its later one, and fsync it.

    Raises
    ------
    OSError : the disk is full or gone.
    """
    path = folder / f".{name}.part"
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def publish(temporaries: dict[Path, Path]) -> None:
    """Rename temporary files to their final names and fsync the folders.

    Parameters
    ----------
    temporaries : temporary path to final path.
    """
    for temporary, final in temporaries.items():
        temporary.replace(final)
    for folder in {final.parent for final in temporaries.values()}:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_hex(content: bytes) -> str:
    """Digest of the bytes of a file."""
    return hashlib.sha256(content).hexdigest()

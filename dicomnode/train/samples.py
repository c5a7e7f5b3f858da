"""Exams of a manifest as a learner reads them, one by one, with every fault named; and what a cache knows a file by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from rich.progress import track

from dicomnode.errors import ManifestError, SeriesError
from dicomnode.images.files import ReadError, dicom_files, is_nifti
from dicomnode.train.manifest import Case

NO_LIST = (".npy", ".npz")


class Sample(Protocol):
    """What a learner makes of an exam."""

    @property
    def case(self) -> Case:
        """The exam."""


S = TypeVar("S", bound=Sample)


def gathered(
    cases: Sequence[Case],
    read: Callable[[Case], S],
    *,
    skip_unusable: bool = False,
    progress: bool = True,
    says: str = "reading exams",
) -> tuple[list[S], list[str]]:
    """Read every exam.

    Parameters
    ----------
    read : of one exam; raises ReadError or SeriesError where it cannot be used.
    skip_unusable : leave out what cannot be used instead of refusing all.

    Returns
    -------
    The samples, and a sentence for each exam that was left out.

    Raises
    ------
    ManifestError : exams cannot be used, all of them listed.
    """
    samples, faults = [], []
    for case in track(cases, description=says, disable=not progress):
        try:
            samples.append(read(case))
        except (ReadError, SeriesError) as fault:
            faults.append(f"exam {case.id}: {fault}")
    if faults and not (skip_unusable and samples):
        raise ManifestError(faults)
    return samples, faults


def image_of(case: Case) -> Path:
    """Where the image of an exam is.

    Raises
    ------
    ReadError : the manifest names none.
    """
    if case.image is None:
        raise ReadError("the manifest names no image")
    return case.image


def text_of(case: Case) -> str:
    """The report of an exam, empty where the manifest names none.

    Raises
    ------
    ReadError : it cannot be read as UTF-8.
    """
    try:
        return case.text.read_text(encoding="utf-8") if case.text else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"text {case.text.name if case.text else ''} cannot be read: {error}") from error


def stamp_of(path: Path) -> list[object]:
    """What a file, a folder or a list of files is known by without being read: names, sizes, times of change."""
    parts = sorted(path.iterdir()) if path.is_dir() else [path, *_listed(path)]
    stats = [(part.name, part.stat()) for part in parts]
    return [str(path.absolute()), [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]]


def _listed(path: Path) -> list[Path]:
    """The files that a text file names; none where it is no such list."""
    if is_nifti(path) or path.suffix in NO_LIST:
        return []
    try:
        return [file for file in dicom_files(path) if file.exists()]
    except UnicodeDecodeError:
        return []


def digest_of(key: object) -> str:
    """40 hexadecimal digits of anything JSON-able, for a name in a cache."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:40]

"""Which series of a folder a node would run: by the rules that hold for what comes over the network."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicomnode.assemble.choice import best_series, protocols_for
from dicomnode.assemble.copies import UNREADABLE_PIXELS, is_one_image, refuse_conflicts, shared
from dicomnode.config.protocols import Protocol
from dicomnode.dicom.ct_slices import reason_not_used
from dicomnode.dicom.headers import header_of, text_of
from dicomnode.dicom.received import BAD_FILE, PIXEL_TAGS, read_leading, read_received
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import Refusal, SeriesError
from dicomnode.images.files import ReadError
from dicomnode.images.pixels import pixel_digest
from dicomnode.records import Header

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
"""A DICOMDIR lists the images of a CD; it is none."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is an instance.

    Attributes
    ----------
    reason : why it is kept as bytes only; None for a slice.
    """

    path: Path
    header: Header
    reason: Refusal | None


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series in a folder.

    Attributes
    ----------
    left_out : how many files of the folder were not used, and why, in words.
    """

    series_uid: str
    files: tuple[FoundFile, ...]
    left_out: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of its files, in their order."""
        return tuple(file.path for file in self.files)

    @property
    def headers(self) -> tuple[Header, ...]:
        """Of its files, in their order."""
        return tuple(file.header for file in self.files)


def choose_series(folder: Path, protocol: Protocol) -> FoundSeries:
    """The series that a node would run: of those that pass triage, gate and protocol, the best reconstruction.

    Raises
    ------
    ReadError : the folder holds no DICOM file.
    SeriesError : none passes; the reason of the one with the most files.
    """
    found, others = find_series(folder)
    if not found:
        raise ReadError(f"no DICOM files in {folder} ({others} other files)")
    fit, faults = [], []
    for series in found:
        try:
            fit.append(_fit(series, protocol))
        except SeriesError as fault:
            faults.append(fault)
    if not fit:
        raise faults[0]
    best = fit[best_series([series.headers for series in fit], protocol)]
    rest = [series for series in found if not {*series.paths} & {*best.paths}]
    return FoundSeries(best.series_uid, best.files, (*best.left_out, *_not_chosen(rest), *_no_dicom(others)))


def find_series(folder: Path) -> tuple[list[FoundSeries], int]:
    """All series below a folder, the one with the most files first, and how many files are no DICOM instances."""
    return series_of_files(sorted(path for path in folder.rglob("*") if path.is_file()))


def series_of_files(paths: Iterable[Path]) -> tuple[list[FoundSeries], int]:
    """As :func:`find_series`, of some files."""
    groups: dict[tuple[str, str], list[FoundFile]] = defaultdict(list)
    others = 0
    for path in paths:
        file = _read(path.absolute())
        if file is None:
            others += 1  # a folder from a CD holds much that is no DICOM file
        else:
            study_uid = text_of(file.header, "StudyInstanceUID")
            groups[study_uid, text_of(file.header, "SeriesInstanceUID")].append(file)
    series = [FoundSeries(uid, tuple(files)) for (_, uid), files in groups.items()]
    return sorted(series, key=lambda item: -len(item.files)), others


def _read(path: Path) -> FoundFile | None:
    """The instance in a file as reception sees it; None for a file that is none."""
    seen: list[int] = []

    def stop(tag: int, _vr: str | None, _length: int) -> bool:
        if tag in PIXEL_TAGS:
            seen.append(tag)
        return tag in PIXEL_TAGS

    try:
        ds = read_received(path, stop)
    except SeriesError as refused:
        header = header_of(read_leading(path))
        return FoundFile(path, header, refused.refusal) if text_of(header, "SOPClassUID") else None
    except BAD_FILE as error:
        raise_unless_it_stays(error)
        return None
    header = header_of(ds)
    if ds.file_meta.get("MediaStorageSOPClassUID") == MEDIA_DIRECTORY or not text_of(header, "SOPClassUID"):
        return None
    return FoundFile(path, header, reason_not_used(header, has_pixels=bool(seen)))


def _fit(series: FoundSeries, protocol: Protocol) -> FoundSeries:
    """The series with the files that a node would read.

    Raises
    ------
    SeriesError : as the assembler raises it.
    """
    slices = [file for file in series.files if file.reason is None]
    if not slices:
        raise SeriesError(series.files[0].reason or Refusal.NO_PIXELS, f"{len(series.files)} instances")
    once = _each_once(slices)
    protocols_for([file.header for file in once], [protocol])
    reasons = Counter(file.reason.value for file in series.files if file.reason is not None)
    copies = len(slices) - len(once)
    return FoundSeries(
        series.series_uid,
        tuple(once),
        (
            *(f"{count} files of the series: {reason}" for reason, count in reasons.items()),
            *([f"{copies} files of the series: the same image again"] if copies else []),
        ),
    )


def _each_once(slices: Sequence[FoundFile]) -> list[FoundFile]:
    """One file of each instance, the last by name.

    Raises
    ------
    SeriesError : ``CONTENT_CONFLICT``: files of one instance differ in pixels or geometry.
    """
    older: set[Path] = set()
    conflicts: list[str] = []
    for group in shared(slices, _instance_of):
        if is_one_image([_digest_of(file.path) for file in group]):
            older.update(file.path for file in group[:-1])
        else:
            conflicts.append(_instance_of(group[0]))
    refuse_conflicts(conflicts)
    return [file for file in slices if file.path not in older]


def _instance_of(file: FoundFile) -> str:
    return text_of(file.header, "SOPInstanceUID")


def _digest_of(path: Path) -> str:
    try:
        return pixel_digest(read_received(path))
    except (SeriesError, *BAD_FILE) as error:
        raise_unless_it_stays(error)
        return UNREADABLE_PIXELS


def _not_chosen(rest: Iterable[FoundSeries]) -> list[str]:
    return [f"{len(series.files)} files of series {series.series_uid or 'without UID'}: not chosen" for series in rest]


def _no_dicom(count: int) -> list[str]:
    return [f"{count} files: no DICOM instances"] if count else []

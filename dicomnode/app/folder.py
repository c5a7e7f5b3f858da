"""Which series of a folder a node would run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pydicom

from dicomnode.assemble.choice import best_series, protocols_for
from dicomnode.config.protocols import Protocol
from dicomnode.dicom.ct_slices import reason_not_used
from dicomnode.dicom.headers import header_of
from dicomnode.errors import Refusal, SeriesError
from dicomnode.images.pixels import BAD_FILE
from dicomnode.records import Header


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series in a folder."""

    series_uid: str
    paths: tuple[Path, ...]
    headers: tuple[Header, ...]


def choose_series(folder: Path, protocol: Protocol) -> FoundSeries:
    """The series that a node would run: of those that pass triage, gate and protocol, the best reconstruction.

    Raises
    ------
    SeriesError : none passes.
    """
    found = find_series(folder)
    if not found:
        raise SeriesError(Refusal.UNREADABLE, f"no DICOM files in {folder}")
    fit, faults = [], []
    for series in found:
        try:
            fit.append(_fit(series, protocol))
        except SeriesError as fault:
            faults.append(fault)
    if not fit:
        raise faults[0]
    return fit[best_series([series.headers for series in fit], protocol)]


def find_series(folder: Path) -> list[FoundSeries]:
    """All series below a folder, the one with the most files first."""
    groups: dict[str, list[tuple[Path, Header]]] = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
        except BAD_FILE:
            continue  # a folder from a CD holds much that is no DICOM file
        groups[str(dataset.get("SeriesInstanceUID", ""))].append((path.absolute(), header_of(dataset)))
    series = [FoundSeries(uid, tuple(p for p, _ in items), tuple(h for _, h in items)) for uid, items in groups.items()]
    return sorted(series, key=lambda item: -len(item.paths))


def _fit(series: FoundSeries, protocol: Protocol) -> FoundSeries:
    protocols_for(series.headers, [protocol])
    pairs = list(zip(series.paths, series.headers, strict=True))
    used = [(path, header) for path, header in pairs if reason_not_used(header) is None]
    return FoundSeries(series.series_uid, tuple(path for path, _ in used), tuple(header for _, header in used))

"""Several reconstructions of one acquisition: which are they, and which is the best to run?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from dicomnode.assemble.gate import volume_gate
from dicomnode.config.protocols import Range
from dicomnode.dicom.geometry import stack_of
from dicomnode.dicom.headers import SliceHeader, text_of, values_of
from dicomnode.errors import SeriesError
from dicomnode.records import Header

KernelClass = Literal["soft", "unknown", "bone"]

TIME_TOLERANCE = timedelta(seconds=5)
"""Reconstructions of one acquisition carry its times to the second, some rounded, some of the first slice only; a
repeat scan comes later by the time it takes to plan it."""

_GE_SOFT = frozenset({"STANDARD", "STND", "STD", "STD+", "SOFT", "BRAIN", "CHST"})
_GE_BONE = frozenset({"BONE", "BONEPLUS", "BONE+", "DETAIL", "EDGE", "LUNG", "ULTRA", "HD BONE", "HD DETAIL"})
_PHILIPS_SOFT = frozenset({"A", "B", "C", "UA", "UB", "UC"})
_PHILIPS_BONE = frozenset({"D", "E", "F", "L", "EC", "YA", "YB", "YC", "YD", "YE"})
_SIEMENS = re.compile(r"[A-Z][A-Z]?[A-Z]?(\d{2})\d?[A-Z]*(?:\\.*)?", re.IGNORECASE)
_CANON = re.compile(r"FC(\d{2})")
_BONE_WORD = re.compile(
    r"(?<![A-Z])(?:BONE\w*|KNOCHEN|OSSEUX|OSSEUSE|OSSO|HUESO|BOT|BEN|TEMPORAL|SHARP|LUNG|HR(?=\W*\d{2}))(?![A-Z])"
)
_SOFT_WORD = re.compile(
    r"(?<![A-Z])(?:BRAIN|HIRN\w*|CEREBR\w*|ENCEPHAL\w*|SOFT\w*|WEICH\w*|PARENCH\w*|STD|STANDARD|SMOOTH)(?![A-Z])"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One reconstruction, as far as the choice needs to know it.

    Attributes
    ----------
    complete : it passes the volume gate.
    spacing_mm : median distance between neighbouring slices; infinite where the slices are no stack.
    """

    series_uid: str
    kernel: KernelClass
    complete: bool
    spacing_mm: float
    slices: int


def candidate_of(headers: Sequence[Header]) -> Candidate:
    """What the choice needs to know of a series.

    Parameters
    ----------
    headers : of its slices in use, at least one.
    """
    spacing_mm = float("inf")
    complete = False
    try:
        spacing_mm = float(np.median(stack_of([SliceHeader.of(header) for header in headers]).spacings_mm))
        volume_gate(headers)
        complete = True
    except SeriesError:
        pass
    return Candidate(
        series_uid=text_of(headers[0], "SeriesInstanceUID"),
        kernel=kernel_class(headers[0]),
        complete=complete,
        spacing_mm=spacing_mm,
        slices=len(headers),
    )


def rank(candidate: Candidate, preferred_mm: Range) -> tuple[int, int, float, int, str]:
    """Sort key, the best reconstruction first: soft-tissue kernel, complete, thickness, more slices, UID."""
    return (
        {"soft": 0, "unknown": 1, "bone": 2}[candidate.kernel],
        0 if candidate.complete else 1,
        round(_distance_mm(candidate.spacing_mm, preferred_mm), 3),
        -candidate.slices,
        candidate.series_uid,
    )


def is_first_choice(candidate: Candidate, preferred_mm: Range) -> bool:
    """Whether nothing better can be expected: it starts at once, any other waits ``selection_wait_s``.

    An unknown kernel waits: a bone reconstruction under an unknown name must not win by arriving first.
    """
    within = _distance_mm(candidate.spacing_mm, preferred_mm) == 0
    return candidate.kernel == "soft" and candidate.complete and within


def _distance_mm(spacing_mm: float, preferred_mm: Range) -> float:
    """How far outside the preferred range; 0 inside."""
    below = 0.0 if preferred_mm.min is None else preferred_mm.min - spacing_mm
    above = 0.0 if preferred_mm.max is None else spacing_mm - preferred_mm.max
    return max(below, above, 0.0)


def kernel_class(header: Header) -> KernelClass:
    """Soft-tissue or bone reconstruction, by the vendors' names of ConvolutionKernel, else by words.

    GE names its kernels; Siemens numbers sharpness (below 50 soft, from 60 on bone); Philips uses letters (UA to UC
    brain, YA and up sharp); Canon numbers FC groups (20s and 60s head, 30s bone, 50s lung, 80s high resolution).
    """
    kernel, description = text_of(header, "ConvolutionKernel").upper(), text_of(header, "SeriesDescription").upper()
    by_vendor = _by_vendor(text_of(header, "Manufacturer").upper(), kernel.strip())
    if by_vendor != "unknown":
        return by_vendor
    text = re.sub(r"[_^]+", " ", f"{kernel} {description}")
    # Bone first: "BONE BRAIN 1MM" is the head in a bone kernel.
    if _BONE_WORD.search(text):
        return "bone"
    return "soft" if _SOFT_WORD.search(text) else "unknown"


def _by_vendor(manufacturer: str, kernel: str) -> KernelClass:
    if manufacturer.startswith("GE"):
        return _among(kernel, _GE_SOFT, _GE_BONE)
    if "PHILIPS" in manufacturer:
        return _among(kernel, _PHILIPS_SOFT, _PHILIPS_BONE)
    if "SIEMENS" in manufacturer:
        number = _SIEMENS.fullmatch(kernel)
        return "unknown" if number is None else _by_sharpness(int(number[1]))
    if "TOSHIBA" in manufacturer or "CANON" in manufacturer:
        number = _CANON.match(kernel)
        return "unknown" if number is None else _by_canon_group(int(number[1]))
    return "unknown"


def _among(kernel: str, soft: frozenset[str], bone: frozenset[str]) -> KernelClass:
    return "soft" if kernel in soft else "bone" if kernel in bone else "unknown"


def _by_sharpness(number: int) -> KernelClass:
    return "soft" if number < 50 else "bone" if number >= 60 else "unknown"


def _by_canon_group(number: int) -> KernelClass:
    group = number // 10
    return "bone" if group in (3, 5, 8) else "soft" if group in (0, 1, 2, 4, 6) else "unknown"


def same_acquisition(a: Sequence[Header], b: Sequence[Header]) -> bool:
    """Whether two series are reconstructions of one acquisition.

    IrradiationEventUID says so where both have it (PS3.3 C.7.6.16.2.2 and CT Image). Else study and frame of reference
    must be the same, and acquisition times must overlap; where times are absent, a common AcquisitionNumber is asked
    for (sequential scans number every slice). Where nothing is known, only a common frame of reference makes them one:
    a result too many is better than a scan left out.
    """
    first, second = [SliceHeader.of(header) for header in a], [SliceHeader.of(header) for header in b]
    events = _events(a), _events(b)
    if events[0] and events[1]:
        return bool(events[0] & events[1])
    if {view.study_uid for view in first} != {view.study_uid for view in second}:
        return False
    frames = _frames(first), _frames(second)
    if frames[0] and frames[1] and not frames[0] & frames[1]:
        return False
    times = _time_range(first), _time_range(second)
    if times[0] and times[1]:
        return times[0][0] <= times[1][1] + TIME_TOLERANCE and times[1][0] <= times[0][1] + TIME_TOLERANCE
    numbers = _acquisition_numbers(first), _acquisition_numbers(second)
    if numbers[0] and numbers[1]:
        return bool(numbers[0] & numbers[1])
    return bool(frames[0] & frames[1])


def _events(headers: Sequence[Header]) -> set[str]:
    return {str(uid) for header in headers for uid in values_of(header, "IrradiationEventUID") if uid}


def _frames(slices: Sequence[SliceHeader]) -> set[str]:
    return {view.frame_of_reference_uid for view in slices if view.frame_of_reference_uid}


def _acquisition_numbers(slices: Sequence[SliceHeader]) -> set[int]:
    return {view.acquisition_number for view in slices if view.acquisition_number is not None}


def _time_range(slices: Sequence[SliceHeader]) -> tuple[datetime, datetime] | None:
    moments = [datetime.fromisoformat(view.acquired_at) for view in slices if view.acquired_at]
    return (min(moments), max(moments)) if moments else None

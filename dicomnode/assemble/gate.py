"""Is this series a volume that a model may see? Geometry and rescale, nothing of the pixels."""

from __future__ import annotations

from collections.abc import Sequence

from dicomnode.dicom.geometry import gaps_of, obliquity_deg, stack_of
from dicomnode.dicom.headers import SliceHeader, text_of
from dicomnode.errors import IncompleteSeries, InconsistentGeometry, Refusal, SeriesError
from dicomnode.records import Header, Stack

MIN_SLICES = 8
"""Seven gaps span ``MIN_COVERAGE_MM`` only beyond 14 mm each, wider than any head protocol."""
MIN_COVERAGE_MM = 100.0
"""From skull base to vertex an adult brain measures 130 mm and more; less than this is a part of a head."""
MAX_OBLIQUITY_DEG = 45.0
"""Gantries tilt up to 30 degrees and axial reformats follow the orbitomeatal line; coronal ones start at 60."""

_HOUNSFIELD_TYPES = frozenset({"", "HU", "US", "HU_MOD"})
"""RescaleType (PS3.3 C.11.1.1.2): others are maps of dual-energy scans. US, "unspecified", is what scanners write that
do not know the attribute; HU is then the rule for CT."""


def volume_gate(headers: Sequence[Header]) -> Stack:
    """The geometry of a series that is fit for a model.

    Parameters
    ----------
    headers : of the slices in use; ``Stack.order`` refers to them.

    Raises
    ------
    IncompleteSeries : ``MISSING_SLICES``, with the positions of the gaps.
    InconsistentGeometry : the slices contradict each other (see :func:`~dicomnode.dicom.geometry.stack_of`), or
        ``MIXED_FRAME_OF_REFERENCE``.
    SeriesError : ``TOO_FEW_SLICES``, ``NOT_AXIAL``, ``COVERAGE_TOO_SMALL`` or ``NO_RESCALE``.
    """
    slices = [SliceHeader.of(header) for header in headers]
    if len(slices) < MIN_SLICES:
        raise SeriesError(Refusal.TOO_FEW_SLICES, f"{len(slices)} slices, at least {MIN_SLICES} are needed")
    _one_frame_of_reference(slices)
    stack = stack_of(slices)
    _axial(stack)
    _no_gaps(stack)
    if stack.coverage_mm < MIN_COVERAGE_MM:
        raise SeriesError(Refusal.COVERAGE_TOO_SMALL, f"{stack.coverage_mm:.1f} mm in {len(slices)} slices")
    _hounsfield(headers, slices)
    return stack


def extent_of(headers: Sequence[Header]) -> tuple[bool, float]:
    """Whether the slices received so far are contiguous, and how many mm they cover; (False, 0) for what is no stack.

    What :mod:`~dicomnode.assemble.completeness` needs to know of the geometry.
    """
    try:
        stack = stack_of([SliceHeader.of(header) for header in headers])
    except SeriesError:
        return False, 0.0
    return not gaps_of(stack.offsets_mm), stack.coverage_mm


def _one_frame_of_reference(slices: Sequence[SliceHeader]) -> None:
    frames = {view.frame_of_reference_uid for view in slices if view.frame_of_reference_uid}
    if len(frames) > 1:
        raise InconsistentGeometry(Refusal.MIXED_FRAME_OF_REFERENCE, f"{len(frames)} frames of reference")


def _axial(stack: Stack) -> None:
    obliquity = obliquity_deg(stack)
    if obliquity > MAX_OBLIQUITY_DEG:
        raise SeriesError(Refusal.NOT_AXIAL, f"normal {obliquity:.0f} degrees from the long axis")


def _no_gaps(stack: Stack) -> None:
    gaps = gaps_of(stack.offsets_mm)
    if gaps:
        places = "; ".join(_place(stack, gap) for gap in gaps[:5])
        raise IncompleteSeries(Refusal.MISSING_SLICES, f"{len(gaps)} gaps: {places}")


def _place(stack: Stack, gap: int) -> str:
    low, high = stack.positions_mm[gap, 2], stack.positions_mm[gap + 1, 2]
    return f"{stack.spacings_mm[gap]:.2f} mm between slices {gap + 1} and {gap + 2} (z {low:.2f} to {high:.2f})"


def _hounsfield(headers: Sequence[Header], slices: Sequence[SliceHeader]) -> None:
    missing = sum(1 for view in slices if view.rescale is None or view.rescale[0] == 0)
    if missing:
        raise SeriesError(Refusal.NO_RESCALE, f"{missing} of {len(slices)} slices")
    foreign = sorted({text_of(header, "RescaleType").strip() for header in headers} - _HOUNSFIELD_TYPES)
    if foreign:
        raise SeriesError(Refusal.NO_RESCALE, f"RescaleType {', '.join(foreign)} is not HU")

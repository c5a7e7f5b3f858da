"""What stands beside the probability and is measured, not learned: midline shift, Evans index, hypodense share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dicomnode.language import told
from dicomnode.measure.anatomy.hypodense import DARK_HU
from dicomnode.measure.place import Places
from dicomnode.records import MEASURED, HeadMeasures, ReferenceScore, ScoreInput, Volume

HYPODENSE = (
    "Darker than brain by {hu:g} HU or more, without fluid and blood. Certain is only what is brighter across the "
    "midline."
)


def beside(volume: Volume) -> tuple[ReferenceScore, ...]:
    """What could be measured; what could not is left out."""
    head = Places(volume).head or HeadMeasures(likeness=0.0)
    return tuple(told_of(head))


def told_of(head: HeadMeasures) -> Iterator[ReferenceScore]:
    """What was measured of a head, each as a score."""
    shift_mm, evans = head.midline_shift_mm, head.evans_index
    if shift_mm is not None:
        said = told("{mm:.0f} mm", mm=abs(shift_mm))
        yield _reference("midline_shift", "Midline shift", "mm", said, value=float(abs(round(shift_mm))))
    if evans is not None:
        yield _reference("evans_index", "Evans index", "1", told("{index:.2f}", index=evans), value=round(evans, 2))
    if head.hypodense_percent is not None:
        yield _hypodense(*head.hypodense_percent)


def _hypodense(low: float, high: float) -> ReferenceScore:
    """A range, unless both ends come to the same."""
    ends = (float(round(low)), float(round(high)))
    said = told("{low} to {high} %", low=f"{ends[0]:.0f}", high=f"{ends[1]:.0f}")
    label, value = "Hypodense share of the cerebrum", ends[0] if ends[0] == ends[1] else None
    range_ = ends if value is None else None
    score = _reference("hypodense_share", label, "%", said, value=value)
    return replace(score, possible=range_, meaning=told(HYPODENSE, hu=DARK_HU))


def _reference(name: str, label: str, unit: str, said: str, *, value: float | None) -> ReferenceScore:
    inputs = (ScoreInput(label, said, MEASURED),)
    return ReferenceScore(name=name, label=label, value=value, unit=unit, meaning="", inputs=inputs)

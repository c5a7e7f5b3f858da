"""What stands beside the probability and is measured, not learned: midline shift, Evans index, hypodense share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dicomnode.language import told
from dicomnode.measure.anatomy.hypodense import DARK_HU
from dicomnode.measure.place import Places
from dicomnode.records import MEASURED, HeadMeasures, ReferenceScore, ScoreInput, Volume

HYPODENSE = (
    "Darker than brain by {hu:g} HU or more, without fluid and blood: oedema, infarct or white matter as in old age."
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
        said = told("{share:.0f} %", share=head.hypodense_percent)
        value = float(round(head.hypodense_percent))
        share = _reference("hypodense_share", "Hypodense share of the cerebrum", "%", said, value=value)
        yield replace(share, meaning=told(HYPODENSE, hu=DARK_HU))


def _reference(name: str, label: str, unit: str, said: str, *, value: float) -> ReferenceScore:
    inputs = (ScoreInput(label, said, MEASURED),)
    return ReferenceScore(name=name, label=label, value=value, unit=unit, meaning="", inputs=inputs)

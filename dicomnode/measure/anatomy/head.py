"""What a head shows as a whole: midline shift, Evans index, and brain that is darker than that of the other side."""

from __future__ import annotations

from dicomnode.measure.anatomy.falx import find_falx
from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.hypodensity import hypodense_ml
from dicomnode.measure.anatomy.midline import block_of, evans_of, midline_of
from dicomnode.measure.anatomy.sampling import coarse
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import HeadMeasures, Volume

FINE_MM = 1.0
"""Voxels that a septum can be seen with."""


def head_of(volume: Volume, frame: Frame) -> HeadMeasures:
    """Measure a head in its frame; what cannot be seen is None."""
    brain_hu = commonest_soft_tissue_hu(volume.hu)
    if brain_hu is None:
        return HeadMeasures(likeness=frame.likeness)
    seen = coarse(volume, FINE_MM)
    block = block_of(seen, frame, brain_hu)
    midline = midline_of(block, find_falx(seen, frame, brain_hu))
    dark = hypodense_ml(volume, frame, brain_hu)
    return HeadMeasures(
        likeness=frame.likeness,
        midline_shift_mm=None if midline is None else midline.shift_mm,
        inner_width_mm=None if midline is None else midline.width_mm,
        evans_index=None if midline is None else evans_of(block, midline, seen, frame),
        hypodense_ml=dark,
    )

"""What a head shows as a whole: midline shift, Evans index, hypodense share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dicomnode.measure.anatomy.falx import middle_mm
from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.hypodense import hypodense_percent
from dicomnode.measure.anatomy.looking import found
from dicomnode.measure.anatomy.midline import block_of, evans_of, midline_of
from dicomnode.measure.anatomy.sampling import coarse
from dicomnode.measure.anatomy.septum import SEPTUM
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import HeadMeasures, Region, Side, Volume

FINE_MM = 1.0
"""Voxels that a septum can be seen with."""
PUSHING_ML, PUSHED_MM, ONE_SIDED = 5.0, 3.0, 0.5
"""Blood that moves a midline, how far it is seen to be moved, and how much more of the blood lies on one side."""
SIGNS = {Side.LEFT: 1.0, Side.RIGHT: -1.0}


def head_of(volume: Volume, frame: Frame) -> HeadMeasures:
    """Measure a head in its frame; what cannot be seen is None."""
    brain_hu, smooth = commonest_soft_tissue_hu(volume.hu), coarse(volume)
    smooth_hu = commonest_soft_tissue_hu(smooth.hu)
    if brain_hu is None or smooth_hu is None:
        return HeadMeasures(likeness=frame.likeness)
    seen = coarse(volume, FINE_MM)
    block = block_of(seen, frame, brain_hu)
    septum, middle = found(SEPTUM, seen, frame, brain_hu), middle_mm(seen, frame, brain_hu)
    midline = midline_of(block, septum, middle)
    shift_mm = None if midline is None else midline.shift_mm
    return HeadMeasures(
        likeness=frame.likeness,
        midline_shift_mm=shift_mm,
        inner_width_mm=None if midline is None else midline.width_mm,
        evans_index=None if midline is None else evans_of(block, midline, seen, frame),
        hypodense_percent=hypodense_percent(smooth, frame, brain_hu),
    )


def beside_bleeds(head: HeadMeasures | None, bleeds: Sequence[Region]) -> HeadMeasures | None:
    """The same head, without shift and index where its bleeds speak against them.

    A bleed pushes the midline away from itself. A septum that seems to lie towards a large one was something else:
    where the horn beside the bleed is squeezed, another fluid space is taken for it.
    """
    if head is None or head.midline_shift_mm is None:
        return head
    total_ml = sum(one.volume_ml for one in bleeds)
    left_ml = sum(SIGNS.get(one.side, 0.0) * one.volume_ml for one in bleeds if one.side is not None)
    pushes = total_ml >= PUSHING_ML and abs(left_ml) >= ONE_SIDED * total_ml
    if pushes and abs(head.midline_shift_mm) >= PUSHED_MM and head.midline_shift_mm * left_ml > 0.0:
        return replace(head, midline_shift_mm=None, inner_width_mm=None, evans_index=None)
    return head

"""What highdicom leaves open in the functional groups of multi-frame results on the source's slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from dicomnode.encode.context import Context

EVEN_MM = 0.01
"""Distances between slices that differ by less are one: headers round them."""


def pixel_measures(references: Sequence[Dataset]) -> Dataset:
    """The one Pixel Measures item of all frames, for the shared functional groups.

    The standard would let each frame state its own where slices differ (PS3.3 C.7.6.16.1.1), but viewers look for it in
    the shared groups alone, and OHIF 3.13 empties its page where it is not there; in both it may not stand. So the
    thickness is that of most slices. Frames lie where their own plane positions say, whatever it is.
    """
    thickness, _ = Counter(str(reference.SliceThickness) for reference in references).most_common(1)[0]
    item = Dataset()
    item.PixelSpacing = references[0].PixelSpacing
    item.SliceThickness = thickness
    return item


def share_pixel_measures(ds: Dataset, context: Context) -> None:
    """Where slices differ, replace what highdicom took from the first source by what holds for most, in place."""
    thicknesses = {float(reference.SliceThickness) for reference in context.references}
    if len(thicknesses) == 1 and np.ptp(context.case.volume.stack.spacings_mm) < EVEN_MM:
        return
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = [pixel_measures(context.references)]


def fixed_dimension_organization(ds: Dataset, uid: str) -> None:
    """Replace highdicom's random UID, so that an instance encoded twice differs in its times only."""
    ds.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for index in ds.DimensionIndexSequence:
        index.DimensionOrganizationUID = uid

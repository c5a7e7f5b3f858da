"""What highdicom leaves open in the functional groups of multi-frame results on the source's slices."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from dicomnode.encode.context import Context


def pixel_measures_by_slice(ds: Dataset, context: Context) -> None:
    """Give each frame the measures of its own slice where they differ, in place.

    highdicom writes one Pixel Measures item, from the first source, for all frames: wrong for a stack of 4 and 7 mm
    slices. An attribute stands either in the shared or in every per-frame group, never in both (PS3.3 C.7.6.16.1.1).
    """
    spacing = context.case.volume.stack.spacings_mm
    thicknesses = {float(ref.SliceThickness) for ref in context.references}
    pixel_spacings = {tuple(float(v) for v in ref.PixelSpacing) for ref in context.references}
    if len(thicknesses) == len(pixel_spacings) == 1 and np.ptp(spacing) < 0.01:
        return
    del ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    by_uid = {ref.SOPInstanceUID: ref for ref in context.references}
    for group in ds.PerFrameFunctionalGroupsSequence:
        source_item = group.DerivationImageSequence[0].SourceImageSequence[0]
        group.PixelMeasuresSequence = [_pixel_measures(by_uid[source_item.ReferencedSOPInstanceUID])]


def _pixel_measures(reference: Dataset) -> Dataset:
    item = Dataset()
    item.PixelSpacing = reference.PixelSpacing
    item.SliceThickness = reference.SliceThickness
    return item


def fixed_dimension_organization(ds: Dataset, uid: str) -> None:
    """Replace highdicom's random UID, so that an instance encoded twice differs in its times only."""
    ds.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for index in ds.DimensionIndexSequence:
        index.DimensionOrganizationUID = uid

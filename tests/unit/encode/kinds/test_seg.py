"""Segmentations, read back from bytes by frame position."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from dicomnode.encode.context import context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.seg import segmentation
from dicomnode.errors import EncodeError
from dicomnode.records import Case, Volume
from tests.unit.encode.cases import EVEN, MODEL, TILTED_UNEVEN, Geometry, case_of, changed, finding_of

BLEEDS = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)), ((38.0, 80.0, 60.0), (6.0, 5.0, 4.0)))
FLIPPED = Geometry(row_cosines=(-1.0, 0.0, 0.0), origin_mm=(48.0, -64.0, 10.0), column_spacing_mm=0.8)
ODD_SIZE = Geometry(rows=33, columns=29)


def read_back(case: Case) -> Dataset:
    seg = segmentation(context_of(case))
    assert seg is not None
    return dcmread(BytesIO(bytes_of(seg)))


def mask_by_position(seg: Dataset, case: Case) -> NDArray[np.bool_]:
    """The mask of a one-segment SEG, each frame put on the slice at its position, by pydicom's own decoder."""
    frames = pixel_array(seg).reshape(-1, seg.Rows, seg.Columns)
    mask = np.zeros(case.findings[0].mask.shape, dtype=bool)
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        position = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        (index,) = np.flatnonzero(np.abs(case.volume.stack.positions_mm - position).max(axis=1) < 1e-3)
        mask[index] = frame
    return mask


@pytest.mark.parametrize(
    "geometry", [EVEN, TILTED_UNEVEN, FLIPPED, ODD_SIZE], ids=["even", "tilted uneven", "flipped", "odd size"]
)
def test_a_mask_returns_to_the_slices_it_was_found_on(geometry: Geometry) -> None:
    bleeds = BLEEDS if geometry is not ODD_SIZE else (((25.0, 15.0, 14.0), (12.0, 8.0, 6.0)),)
    case = case_of(geometry, bleeds)
    assert np.array_equal(mask_by_position(read_back(case), case), case.findings[0].mask)


def test_only_slices_with_a_mask_have_frames() -> None:
    case = case_of(TILTED_UNEVEN, BLEEDS)
    seg = read_back(case)
    assert int(seg.NumberOfFrames) == int(case.findings[0].mask.any(axis=(1, 2)).sum()) < len(case.sources)


def test_a_frame_names_the_source_slice_at_its_own_position_failure_mode_18() -> None:
    case = case_of(TILTED_UNEVEN, BLEEDS)
    by_uid = {source.SOPInstanceUID: source for source in case.sources}
    for group in read_back(case).PerFrameFunctionalGroupsSequence:
        source = by_uid[group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert group.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient


def test_frames_of_an_uneven_stack_share_the_measures_of_most_slices() -> None:
    # OHIF 3.13 reads them from the shared groups alone, and empties its page where they stand per frame
    case = case_of(TILTED_UNEVEN, BLEEDS)
    seg = read_back(case)
    (measures,) = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    stated = Counter(float(source.SliceThickness) for source in case.sources)
    assert len(stated) > 1
    assert stated[float(measures.SliceThickness)] == max(stated.values())
    assert measures.PixelSpacing == case.sources[0].PixelSpacing
    assert "SpacingBetweenSlices" not in measures
    assert not any("PixelMeasuresSequence" in group for group in seg.PerFrameFunctionalGroupsSequence)


def test_frames_of_an_even_stack_share_their_measures() -> None:
    seg = read_back(case_of(EVEN, BLEEDS))
    shared = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(shared.SpacingBetweenSlices) == 5.0
    assert not any("PixelMeasuresSequence" in group for group in seg.PerFrameFunctionalGroupsSequence)


def test_a_false_spacing_between_slices_of_the_source_is_not_believed() -> None:
    case = case_of(EVEN, BLEEDS)
    for source in case.sources:
        source.SpacingBetweenSlices = "-3.3"
    shared = read_back(case).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(shared.SpacingBetweenSlices) == 5.0


def test_the_object_is_binary_and_says_what_made_it() -> None:
    seg = read_back(case_of(EVEN, BLEEDS))
    assert seg.SOPClassUID == SegmentationStorage
    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert seg.SegmentationType == "BINARY"
    assert list(seg.ImageType) == ["DERIVED", "PRIMARY"]
    (segment,) = seg.SegmentSequence
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (MODEL.name, MODEL.version)
    assert MODEL.digest in algorithm.AlgorithmParameters
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "50960005"
    assert segment.AnatomicRegionSequence[0].CodeValue == "1101003"
    assert len(segment.RecommendedDisplayCIELabValue) == 3


def test_overlapping_findings_keep_their_own_masks() -> None:
    case = case_of(EVEN, BLEEDS)
    grown = np.roll(case.findings[0].mask, 3, axis=1) | case.findings[0].mask
    case = changed(case, findings=(*case.findings, finding_of(grown, case.volume, name="edema", label="Oedema")))
    seg = read_back(case)
    frames = pixel_array(seg)
    for number, finding in enumerate(case.findings, start=1):
        groups = seg.PerFrameFunctionalGroupsSequence
        own = [g.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number for g in groups]
        assert int(frames[own].sum()) == int(finding.mask.sum())


def test_an_empty_mask_has_no_segmentation() -> None:
    assert segmentation(context_of(case_of(EVEN))) is None


def test_a_finding_with_an_empty_mask_has_no_segment_beside_one_with() -> None:
    case = case_of(EVEN, BLEEDS)
    nothing = finding_of(np.zeros_like(case.findings[0].mask), case.volume, name="edema", label="Oedema")
    seg = read_back(changed(case, findings=(nothing, *case.findings)))
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["Intracranial haemorrhage"]


def test_sources_in_another_order_than_the_volume_are_refused() -> None:
    case = case_of(EVEN, BLEEDS)
    with pytest.raises(EncodeError, match="order"):
        segmentation(context_of(changed(case, sources=case.sources[::-1])))


def test_sources_at_other_positions_than_the_volume_are_refused() -> None:
    case = case_of(EVEN, BLEEDS)
    case.sources[3].ImagePositionPatient = [0, 0, 0]
    with pytest.raises(EncodeError, match="positions"):
        segmentation(context_of(case))


def test_a_mask_of_another_shape_is_refused() -> None:
    case = case_of(EVEN, BLEEDS)
    finding = replace(case.findings[0], mask=case.findings[0].mask[:-1])
    with pytest.raises(EncodeError, match="does not fit"):
        segmentation(context_of(changed(case, findings=(finding,))))


def test_a_bleed_on_one_slice_alone_is_one_frame() -> None:
    case = case_of(TILTED_UNEVEN)
    mask = np.zeros(case.findings[0].mask.shape, dtype=bool)
    mask[7, 50:70, 40:60] = True
    volume: Volume = case.volume
    seg = read_back(changed(case, findings=(finding_of(mask, volume),)))
    assert int(seg.NumberOfFrames) == 1
    (group,) = seg.PerFrameFunctionalGroupsSequence
    assert group.PlanePositionSequence[0].ImagePositionPatient == case.sources[7].ImagePositionPatient

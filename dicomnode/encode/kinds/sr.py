"""Measurements as a structured report, TID 1500 with TID 1411 groups (DICOM PS3.3 A.35.13, PS3.16).

Comprehensive 3D SR where a destination takes that; the same content fits a Comprehensive SR (A.35.3), since outlines
are two-dimensional, and an Enhanced SR (A.35.2), since no item refers to another by its position.

One group per finding refers to its segment; one group per lesion outlines it on the source images, which is what
viewers without segmentation support can draw. What was not found stands in the Qualitative Evaluations (row 12).
Verified with PixelMed's DicomSRValidator, the judge of the IHE AIR Connectathon: groups of TID 1411 and TID 1501 must
not be mixed in one document, and the algorithm is identified at each NUM, not at the group.
"""

from __future__ import annotations

import numpy as np
from highdicom import sr as hd_sr
from highdicom.seg import Segmentation
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicomnode.dicom import codes
from dicomnode.encode.content import (
    Report,
    container,
    new_document,
    presence_item,
    private_scheme,
    procedure_reported,
    root_container,
    separate,
    text_item,
)
from dicomnode.encode.context import Context, stamp
from dicomnode.encode.kinds.seg import segmented
from dicomnode.encode.pictures.contours import outlines
from dicomnode.encode.pictures.slices import slice_range
from dicomnode.encode.wording import Wording, is_speck, model_line, parameters_of
from dicomnode.kinds import Kind
from dicomnode.measure.figures import rounded_hu, rounded_ml, rounded_mm
from dicomnode.records import Case, MaskFinding, Region

MAX_LESION_GROUPS = 25
"""Lesions with a group of their own, the largest first; the others count in the total and in the impression."""

Group = hd_sr.VolumetricROIMeasurementsAndQualitativeEvaluations


def measurement_report(context: Context, seg: Segmentation | None, kind: Kind = Kind.SR) -> Report | None:
    """The report of a case's marks; None where there are none, since viewers show such a report as a black window.

    Parameters
    ----------
    kind : ``SR``, or one that stands in for it; ``SR_NEGATIVE`` is the report of a case without marks, and of no other.
    seg : of the same case, with the segments that the groups refer to; None where every mask is empty.
    """
    if not context.case.masks or (seg is None) != (kind is Kind.SR_NEGATIVE):
        return None
    evidence = [*context.references, *([seg] if seg is not None else [])]
    report = new_document(context, kind, _content(context, seg), evidence)
    report.CodingSchemeIdentificationSequence = [private_scheme()]
    stamp(report, context, kind, context.words.series("sr series", context.case.masks))
    return report


def _content(context: Context, seg: Segmentation | None) -> Dataset:
    root = root_container(context, codes.MEASUREMENT_REPORT, "1500")
    root.ContentSequence.append(procedure_reported())
    if seg is not None:
        root.ContentSequence.append(_measurements(context, seg))
    root.ContentSequence.append(_evaluations(context.case, context.words))
    separate(root)
    return root


def _measurements(context: Context, seg: Segmentation) -> hd_sr.ContainerContentItem:
    measurements = container(codes.IMAGING_MEASUREMENTS)
    for number, finding in segmented(context.case.masks):
        measurements.ContentSequence.extend(_total_group(finding, number, context, seg))
        for index, region in enumerate(finding.lesions[:MAX_LESION_GROUPS]):
            measurements.ContentSequence.extend(_lesion_group(finding, index, region, context))
    return measurements


def _total_group(finding: MaskFinding, number: int, context: Context, seg: Segmentation) -> Group:
    """TID 1411 with row 7: the whole mask, by its segment and under the segment's tracking UID."""
    sources = [_source_for_segment(context.references[i]) for i in np.flatnonzero(finding.mask.any(axis=(1, 2)))]
    segment = hd_sr.ReferencedSegment(
        sop_class_uid=seg.SOPClassUID,
        sop_instance_uid=seg.SOPInstanceUID,
        segment_number=number,
        source_images=sources,
    )
    assert finding.total is not None  # a mask with voxels has measurements; encode_case has checked it
    tracking = hd_sr.TrackingIdentifier(context.tracking_uid(finding.name), finding.label)
    group = _group(finding, finding.total, tracking, referenced_segment=segment)
    _place(group, finding, context)
    return _with_images(group, context, finding.total)


def _place(group: Group, finding: MaskFinding, context: Context) -> None:
    """Below the volume, the outline on one slice.

    TID 1411 allows no region beside the segment, but OHIF (3.13.2) shows no image at all for a report in which a group
    has no coordinates. The templates are extensible; it is a place of the number, and the segment says the rest.
    """
    place = _slice_for_total(finding)
    reference = context.references[place]
    outline = hd_sr.CoordinatesForMeasurement(
        graphic_type=hd_sr.GraphicTypeValues.POLYLINE,
        graphic_data=outlines(finding.mask[place])[0],
        source_image=hd_sr.SourceImageForRegion(reference.SOPClassUID, reference.SOPInstanceUID),
    )
    numbers = [item for item in group[0].ContentSequence if item.ValueType == "NUM"]
    numbers[0].ContentSequence.append(outline)


def _slice_for_total(finding: MaskFinding) -> int:
    """The widest slice on which no lesion has its label: OHIF would write both over each other."""
    area = finding.mask.sum(axis=(1, 2))
    free = area.copy()
    free[[_widest_of(finding, index) for index in range(len(finding.lesions[:MAX_LESION_GROUPS]))]] = 0
    return int(np.argmax(free if free.any() else area))


def _widest_of(finding: MaskFinding, index: int) -> int:
    """Slice on which a lesion covers most."""
    region = finding.lesions[index]
    labels = finding.lesion_labels[region.first_slice : region.last_slice + 1]
    return region.first_slice + int(np.argmax((labels == index + 1).sum(axis=(1, 2))))


def _lesion_group(finding: MaskFinding, index: int, region: Region, context: Context) -> Group:
    """TID 1411 with row 5: one lesion, by its outline on each source image."""
    tracking = hd_sr.TrackingIdentifier(
        context.tracking_uid(finding.name, index), context.words.lesion_name(finding, index)
    )
    group = _group(finding, region, tracking, referenced_regions=_outlined(finding, index, region, context))
    return _with_images(group, context, region)


def _with_images(group: Group, context: Context, region: Region) -> Group:
    """Which images show the region, by the numbers that a viewer shows."""
    group[0].ContentSequence.append(text_item(codes.IMAGES, slice_range(context.case, region, context.words)))
    return group


def _outlined(finding: MaskFinding, index: int, region: Region, context: Context) -> list[hd_sr.ImageRegion]:
    """All outlines, those of the widest slice first: OHIF opens a group at its first."""
    widest = _widest_of(finding, index)
    others = [number for number in range(region.first_slice, region.last_slice + 1) if number != widest]
    regions = []
    for number in (widest, *others):
        reference = context.references[number]
        image = hd_sr.SourceImageForRegion(reference.SOPClassUID, reference.SOPInstanceUID)
        for outline in outlines(finding.lesion_labels[number] == index + 1):
            regions.append(hd_sr.ImageRegion(hd_sr.GraphicTypeValues.POLYLINE, outline, image))
    return regions


def _source_for_segment(reference: Dataset) -> hd_sr.SourceImageForSegmentation:
    return hd_sr.SourceImageForSegmentation(reference.SOPClassUID, reference.SOPInstanceUID)


def _group(
    finding: MaskFinding,
    region: Region,
    tracking: hd_sr.TrackingIdentifier,
    *,
    referenced_segment: hd_sr.ReferencedSegment | None = None,
    referenced_regions: list[hd_sr.ImageRegion] | None = None,
) -> Group:
    concepts = codes.concepts_of(finding)
    return Group(
        tracking_identifier=tracking,
        referenced_segment=referenced_segment,
        referenced_regions=referenced_regions,
        finding_type=Code(*concepts.type),
        finding_sites=[hd_sr.FindingSite(Code(*concepts.site)), *_brain_part(region)],
        measurements=_numbers(finding, region),
    )


def _brain_part(region: Region) -> list[hd_sr.FindingSite]:
    """The region of the brain that a lesion arose in; none where it is not certain."""
    if len(region.parts) != 1:
        return []
    side = None if region.side is None else codes.LATERALITY.get(region.side)
    laterality = None if side is None else Code(*side)
    return [hd_sr.FindingSite(Code(*codes.BRAIN_PARTS[region.parts[0]]), laterality=laterality)]


def _numbers(finding: MaskFinding, region: Region) -> list[hd_sr.Measurement]:
    algorithm = hd_sr.AlgorithmIdentification(
        name=finding.model.name,
        version=finding.model.version,
        parameters=[f"{key}={value}" for key, value in parameters_of(finding).items()],
        family=Code(*codes.ARTIFICIAL_INTELLIGENCE),
    )
    volume, length, unit = codes.MILLILITRE, codes.MILLIMETRE, codes.HOUNSFIELD_UNIT
    rows = [
        (codes.VOLUME, rounded_ml(region.volume_ml), volume, None),
        (codes.LONG_AXIS, rounded_mm(region.longest_diameter_mm), length, None),
        (codes.ATTENUATION, rounded_hu(region.mean_hu), unit, codes.MEAN),
    ]
    if not is_speck(region):
        rows.append((codes.ATTENUATION, rounded_hu(region.max_hu), unit, codes.MAXIMUM))
    if region.abc2_ml is not None and not is_speck(region):
        abc2_ml = rounded_ml(region.abc2_ml)
        difference_ml = rounded_ml(abc2_ml - rounded_ml(region.volume_ml))
        rows.insert(1, (codes.VOLUME_ABC2, abc2_ml, volume, None))
        rows.insert(2, (codes.ABC2_DIFFERENCE, difference_ml, volume, None))
    return [
        hd_sr.Measurement(
            name=Code(*name),
            value=value,
            unit=Code(*of_unit),
            derivation=Code(*derivation) if derivation else None,
            algorithm_id=algorithm,
        )
        for name, value, of_unit, derivation in rows
    ]


def _evaluations(case: Case, words: Wording) -> hd_sr.ContainerContentItem:
    """TID 1500 row 12: what was found or not, by what and within which limits, in words and codes."""
    evaluations = container(codes.QUALITATIVE_EVALUATIONS)
    for finding in case.masks:
        evaluations.ContentSequence.append(presence_item(finding, case.masks))
        about_head = _of_head(finding, words) if case.tells_of_head(finding) else []
        for name, text in (*_statements(finding, words), *about_head):
            evaluations.ContentSequence.append(text_item(name, text))
    evaluations.ContentSequence.append(text_item(codes.NOTICE, words.notice()))
    return evaluations


def _of_head(finding: MaskFinding, words: Wording) -> list[tuple[codes.Code, str]]:
    said = [
        (codes.MIDLINE_SHIFT, words.shift(finding)),
        (codes.EVANS_INDEX, words.evans(finding)),
        (codes.HYPODENSE_SHARE, words.hypodense(finding)),
    ]
    return [(name, text) for name, text in said if text]


def _statements(finding: MaskFinding, words: Wording) -> list[tuple[codes.Code, str]]:
    dense = words.dense_sentence(finding)
    return [
        (codes.IMPRESSION, words.impression(finding)),
        (codes.THRESHOLD, words.number(finding.threshold)),
        (codes.DETECTION_LIMIT, words.limit(finding)),
        *([(codes.DENSE, dense)] if dense else []),
        (codes.MODEL, model_line(finding.model)),
        (codes.TRAINING_DATA, finding.model.trained_on),
    ]

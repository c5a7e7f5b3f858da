"""Measurements as a Comprehensive 3D SR, TID 1500 with TID 1411 groups (DICOM PS3.3 A.35.13, PS3.16).

One group per finding refers to its segment; one group per lesion outlines it on the source images, which is what
viewers without segmentation support can draw. What was not found stands in the Qualitative Evaluations (row 12).
Verified with PixelMed's DicomSRValidator, the judge of the IHE AIR Connectathon: groups of TID 1411 and TID 1501 must
not be mixed in one document, and the algorithm is identified at each NUM, not at the group.
"""

from __future__ import annotations

import numpy as np
from highdicom import sr as hd_sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.seg import Segmentation
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

import dicomnode
from dicomnode.dicom import codes
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.dicom.uids import derived_uid
from dicomnode.encode import wording
from dicomnode.encode.context import Context, stamp
from dicomnode.encode.contours import outlines
from dicomnode.encode.seg import segmented
from dicomnode.records import MaskFinding, Region

KIND = "sr"
MAX_LESION_GROUPS = 25
"""Lesions with a group of their own, the largest first; the others count in the total and in the impression."""
VOLUME_DECIMALS = 3
LENGTH_DECIMALS = 1

Group = hd_sr.VolumetricROIMeasurementsAndQualitativeEvaluations


def measurement_report(context: Context, seg: Segmentation | None) -> hd_sr.Comprehensive3DSR:
    """The report of a case, positive or negative.

    Parameters
    ----------
    seg : of the same case, with the segments that the groups refer to; None where every mask is empty.
    """
    evidence = [*context.references, *([seg] if seg is not None else [])]
    report = hd_sr.Comprehensive3DSR(
        evidence=evidence,
        content=_content(context, seg),
        series_instance_uid=context.series_uid(KIND),
        series_number=context.series_number(KIND),
        sop_instance_uid=context.instance_uid(KIND),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    report.CodingSchemeIdentificationSequence = [_private_scheme()]
    stamp(report, context, KIND, _series_description(context.case.findings))
    return report


def _series_description(findings: tuple[MaskFinding, ...]) -> str:
    return f"AI {codes.finding_codes(findings[0].name).noun if len(findings) == 1 else 'findings'} measurements"


def _private_scheme() -> Dataset:
    """Who defines 99DCMNODE (PS3.3 C.12.1.1.1)."""
    return CodingSchemeIdentificationItem(
        designator=codes.PRIVATE_SCHEME,
        name=codes.PRIVATE_SCHEME_NAME,
        responsible_organization=codes.PRIVATE_SCHEME_ORGANIZATION,
    )


def _content(context: Context, seg: Segmentation | None) -> Dataset:
    """Root container of TID 1500; every container SEPARATE, else viewers hide the names of its items."""
    root = _container(codes.MEASUREMENT_REPORT, None, "1500")
    root.ContentSequence = hd_sr.ContentSequence()
    root.ContentSequence.extend(hd_sr.LanguageOfContentItemAndDescendants(hd_sr.CodedConcept(*codes.ENGLISH)))
    root.ContentSequence.extend(_observer(context))
    root.ContentSequence.append(
        hd_sr.CodeContentItem(
            name=Code(*codes.PROCEDURE_REPORTED),
            value=Code(*codes.PROCEDURE_CT),
            relationship_type=hd_sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
    )
    if seg is not None:
        root.ContentSequence.append(_measurements(context, seg))
    root.ContentSequence.append(_evaluations(context.case.findings))
    _separate(root)
    return root


def _container(name: codes.Code, relationship: str | None, template: str | None = None) -> hd_sr.ContainerContentItem:
    return hd_sr.ContainerContentItem(
        name=Code(*name),
        relationship_type=relationship,
        template_id=template,
        is_content_continuous=False,
    )


def _observer(context: Context) -> hd_sr.ObservationContext:
    """The software as the observer (TID 1004); there is no person behind these numbers."""
    device = hd_sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", MODEL_NAME, context.case.station_ae_title),
        name=context.case.station_ae_title,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=dicomnode.__version__,
    )
    return hd_sr.ObservationContext(
        observer_device_context=hd_sr.ObserverContext(
            observer_type=hd_sr.CodedConcept(*codes.DEVICE), observer_identifying_attributes=device
        )
    )


def _measurements(context: Context, seg: Segmentation) -> hd_sr.ContainerContentItem:
    container = _container(codes.IMAGING_MEASUREMENTS, "CONTAINS")
    container.ContentSequence = hd_sr.ContentSequence()
    for number, finding in segmented(context.case.findings):
        container.ContentSequence.extend(_total_group(finding, number, context, seg))
        for index, region in enumerate(finding.lesions[:MAX_LESION_GROUPS]):
            container.ContentSequence.extend(_lesion_group(finding, index, region, context))
    return container


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
    return _group(finding, finding.total, tracking, referenced_segment=segment)


def _lesion_group(finding: MaskFinding, index: int, region: Region, context: Context) -> Group:
    """TID 1411 with row 5: one lesion, by its outline on each source image."""
    tracking = hd_sr.TrackingIdentifier(context.tracking_uid(finding.name, index), wording.lesion_name(finding, index))
    return _group(finding, region, tracking, referenced_regions=_outlined(finding, index, region, context))


def _outlined(finding: MaskFinding, index: int, region: Region, context: Context) -> list[hd_sr.ImageRegion]:
    regions = []
    for number in range(region.first_slice, region.last_slice + 1):
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
    concepts = codes.finding_codes(finding.name)
    return Group(
        tracking_identifier=tracking,
        referenced_segment=referenced_segment,
        referenced_regions=referenced_regions,
        finding_type=Code(*concepts.type),
        finding_sites=[hd_sr.FindingSite(Code(*concepts.site))],
        measurements=_numbers(finding, region),
    )


def _numbers(finding: MaskFinding, region: Region) -> list[hd_sr.Measurement]:
    algorithm = hd_sr.AlgorithmIdentification(
        name=finding.model.name,
        version=finding.model.version,
        parameters=[f"{key}={value}" for key, value in wording.parameters_of(finding).items()],
        family=Code(*codes.ARTIFICIAL_INTELLIGENCE),
    )
    volume, length, unit = codes.MILLILITRE, codes.MILLIMETRE, codes.HOUNSFIELD_UNIT
    rows = [
        (codes.VOLUME, round(region.volume_ml, VOLUME_DECIMALS), volume, None),
        (codes.LONG_AXIS, round(region.longest_diameter_mm, LENGTH_DECIMALS), length, None),
        (codes.ATTENUATION, round(region.mean_hu, 1), unit, codes.MEAN),
        (codes.ATTENUATION, round(region.max_hu, 1), unit, codes.MAXIMUM),
    ]
    if region.abc2_ml is not None:
        rows.insert(1, (codes.VOLUME_ABC2, round(region.abc2_ml, VOLUME_DECIMALS), volume, None))
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


def _evaluations(findings: tuple[MaskFinding, ...]) -> hd_sr.ContainerContentItem:
    """TID 1500 row 12: what was found or not, by what and within which limits, in words and codes."""
    container = _container(codes.QUALITATIVE_EVALUATIONS, "CONTAINS")
    container.ContentSequence = hd_sr.ContentSequence()
    for finding in findings:
        container.ContentSequence.append(_presence(finding))
        for name, text in _statements(finding):
            container.ContentSequence.append(_text(name, text))
    container.ContentSequence.append(_text(codes.NOTICE, wording.NOTICE))
    return container


def _presence(finding: MaskFinding) -> hd_sr.CodeContentItem:
    """CID 240; pieces below the detection limit leave it open."""
    absent_or_open = codes.ABSENT if finding.total is None else codes.UNDETERMINED
    answer = codes.PRESENT if finding.lesions else absent_or_open
    return hd_sr.CodeContentItem(
        name=Code(*codes.finding_codes(finding.name).type),
        value=Code(*answer),
        relationship_type=hd_sr.RelationshipTypeValues.CONTAINS,
    )


def _statements(finding: MaskFinding) -> list[tuple[codes.Code, str]]:
    return [
        (codes.IMPRESSION, wording.impression(finding)),
        (codes.THRESHOLD, f"{finding.threshold:g}"),
        (codes.DETECTION_LIMIT, f"{finding.detection_limit_ml:g} mL"),
        (codes.MODEL, wording.model_line(finding)),
        (codes.TRAINING_DATA, finding.model.trained_on),
    ]


def _text(name: codes.Code, text: str) -> hd_sr.TextContentItem:
    return hd_sr.TextContentItem(name=Code(*name), value=text, relationship_type=hd_sr.RelationshipTypeValues.CONTAINS)


def _separate(item: Dataset) -> None:
    """Set ContinuityOfContent SEPARATE on a container and all below it."""
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence", []):
        _separate(child)

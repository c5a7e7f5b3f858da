"""Masks as a Segmentation, one segment per finding (DICOM PS3.3 A.51, C.8.20).

BINARY, uncompressed: the type that every viewer tried shows rightly. Frames lie on the source's own slices, whatever
their tilt and spacing.
"""

from __future__ import annotations

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

import dicomnode
from dicomnode.dicom import codes
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.dicom.uids import derived_uid
from dicomnode.encode.context import Context, stamp
from dicomnode.encode.frames import fixed_dimension_organization, share_pixel_measures
from dicomnode.encode.wording import parameters_of
from dicomnode.errors import EncodeError
from dicomnode.kinds import Kind
from dicomnode.records import MaskFinding

KIND = Kind.SEG


def segmented(findings: tuple[MaskFinding, ...]) -> list[tuple[int, MaskFinding]]:
    """Findings with a mask that is not empty, with their segment numbers (1..n)."""
    return list(enumerate((finding for finding in findings if finding.mask.any()), start=1))


def is_uncertain(segment: Dataset) -> bool:
    """Whether an item of the Segment Sequence marks what is uncertain, by its colour."""
    amber = CIELabColor.from_rgb(*codes.UNCERTAIN_RGB).value
    return list(segment.get("RecommendedDisplayCIELabValue", ())) == list(amber)


def segmentation(context: Context) -> Segmentation | None:
    """The Segmentation of a case; None where every mask is empty: a negative is said by the report.

    Raises
    ------
    EncodeError : a mask does not fit the source slices.
    """
    segments = segmented(context.case.masks)
    if not segments:
        return None
    for _, finding in segments:
        _check_fit(finding, context)
    seg = _segmentation([finding for _, finding in segments], context)
    share_pixel_measures(seg, context)
    fixed_dimension_organization(seg, derived_uid("dimension organization", context.digest))
    stamp(seg, context, KIND, context.words.series("seg series", tuple(finding for _, finding in segments)))
    return seg


def _check_fit(finding: MaskFinding, context: Context) -> None:
    """highdicom takes slices and mask as they come and cannot notice that their order differs."""
    volume, sources = context.case.volume, context.case.sources
    if finding.mask.shape != volume.hu.shape or len(sources) != len(finding.mask):
        raise EncodeError(f"{finding.name}: mask {finding.mask.shape} does not fit {len(sources)} source slices")
    if volume.sop_instance_uids != tuple(str(source.SOPInstanceUID) for source in sources):
        raise EncodeError("the sources are not in the order of the volume")
    positions_mm = np.array([[float(v) for v in source.ImagePositionPatient] for source in sources])
    if not np.allclose(positions_mm, volume.stack.positions_mm, rtol=0, atol=1e-3):
        raise EncodeError("the sources do not lie at the positions of the volume's slices")


def _segmentation(findings: list[MaskFinding], context: Context) -> Segmentation:
    if len(findings) == 1:
        pixels = findings[0].mask.astype(np.uint8)
    else:
        pixels = np.stack([finding.mask for finding in findings], axis=-1).astype(np.uint8)
    return Segmentation(
        source_images=list(context.references),
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(n, finding, context) for n, finding in enumerate(findings, start=1)],
        series_instance_uid=context.series_uid(KIND),
        series_number=context.series_number(KIND),
        sop_instance_uid=context.instance_uid(KIND),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=dicomnode.__version__,
        device_serial_number=context.case.station_ae_title,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        content_label=codes.concepts_of(findings[0]).content_label if len(findings) == 1 else "FINDINGS_SEG",
        content_description="Marked by software, not verified",
        content_creator_name=f"{MANUFACTURER}^",
    )


def _description(number: int, finding: MaskFinding, context: Context) -> SegmentDescription:
    concepts = codes.concepts_of(finding)
    return SegmentDescription(
        segment_number=number,
        segment_label=context.words.segment_label(finding)[:64],
        segmented_property_category=Code(*concepts.category),
        segmented_property_type=Code(*concepts.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=finding.model.name,
            family=Code(*codes.ARTIFICIAL_INTELLIGENCE),
            version=finding.model.version,
            source=MANUFACTURER,
            parameters=parameters_of(finding),
        ),
        tracking_uid=context.tracking_uid(finding.name),
        tracking_id=finding.label[:64],
        anatomic_regions=[Code(*concepts.site)],
        display_color=CIELabColor.from_rgb(*codes.colour_of(finding)),
    )

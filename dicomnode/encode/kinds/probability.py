"""What a model thought of every voxel, as a Parametric Map for each finding (DICOM PS3.3 A.75, C.8.32).

A predicted scan has one too, where it comes with the chance of what it does not show; its description says of when.

32-bit floats: the stored value is the probability, and dcmqi and 3D Slicer read no other kind. Every slice of the
source has a frame, in their order: readers are known that place frames by their number (dcmqi 1.5.7) or that wait for
ever where a slice has none (OHIF 3.13.2).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.base import SOPClass
from highdicom.pm import ParametricMap, RealWorldValueMapping
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

import dicomnode
from dicomnode.dicom import codes
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.dicom.uids import derived_uid
from dicomnode.encode.context import Context, coded, stamp
from dicomnode.encode.frames import fixed_dimension_organization, share_pixel_measures
from dicomnode.errors import EncodeError
from dicomnode.kinds import Kind
from dicomnode.records import PROBABILITY_SCALE, Case, ImageFinding, MaskFinding

logger = logging.getLogger(__name__)

KIND = Kind.PROBABILITY
Mapped = MaskFinding | ImageFinding


def mapped(case: Case) -> list[Mapped]:
    """Findings whose probabilities are known and not zero everywhere; what is there before what is predicted."""
    findings: tuple[Mapped, ...] = (*case.masks, *case.images)
    return [finding for finding in findings if finding.probability is not None and finding.probability.any()]


def probability_maps(context: Context) -> list[SOPClass]:
    """One map for each finding whose probabilities were kept; that others were not is logged.

    Raises
    ------
    EncodeError : a map does not fit the source slices, or exceeds 1.
    """
    forgotten = [finding.name for finding in context.case.masks if finding.probability is None]
    if forgotten:
        reason = "no probability map: the model ran before a destination took this kind of result"
        logger.warning(reason, extra={"action": "encode", "findings": forgotten})
    findings = mapped(context.case)
    maps: list[SOPClass] = [_map(finding, index, context) for index, finding in enumerate(findings)]
    for pm in maps:  # one series, hence one description
        stamp(pm, context, KIND, _series_description(findings, context))
    return maps


def _series_description(findings: Sequence[Mapped], context: Context) -> str:
    """Of what is there now, also where what is predicted lies beside it; each map says more."""
    now = tuple(finding for finding in findings if isinstance(finding, MaskFinding))
    return context.words.series("probability series" if now else "predicted probability series", now)


def _codes(finding: Mapped) -> codes.FindingCodes:
    """How that is coded whose probability is mapped."""
    return codes.concepts_of(finding) if isinstance(finding, MaskFinding) else codes.finding_codes(finding.outlined)


def _says(finding: Mapped) -> str:
    """Of what the values are the probability."""
    noun = _codes(finding).noun
    if isinstance(finding, MaskFinding):
        return f"Probability of {noun}"
    return f"Predicted probability of {noun}, {finding.horizon}"


def _description(finding: Mapped) -> str:
    """The same with what it is worth: a reader may take the former for a measurement, not what is predicted."""
    return f"{_says(finding)}, not verified" if isinstance(finding, MaskFinding) else _says(finding)


def _map(finding: Mapped, index: int, context: Context) -> ParametricMap:
    probability = _checked(finding, context)
    pm = ParametricMap(
        source_images=list(context.references),
        pixel_array=probabilities(probability),
        series_instance_uid=context.series_uid(KIND),
        series_number=context.series_number(KIND),
        sop_instance_uid=context.instance_uid(KIND, index),
        instance_number=index + 1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=dicomnode.__version__,
        device_serial_number=context.case.station_ae_title,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(finding)],
        voi_lut_transformations=[VOILUTTransformation(0.5, 1.0)],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="PROBABILITY",
        content_description=_description(finding)[:64],
        content_creator_name=f"{MANUFACTURER}^",
        content_qualification="RESEARCH" if context.is_research else "PRODUCT",
    )
    _in_slice_order(pm, context)
    _frame_anatomy(pm, finding)
    share_pixel_measures(pm, context)
    fixed_dimension_organization(pm, derived_uid("dimension organization", context.digest, KIND, finding.name))
    return pm


def _in_slice_order(pm: ParametricMap, context: Context) -> None:
    """Frames ascending along the normal of the slices, whatever order highdicom chose, and their indices with them."""
    uids = context.case.volume.sop_instance_uids
    groups = list(pm.PerFrameFunctionalGroupsSequence)
    sources = [group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID for group in groups]
    order = sorted(range(len(groups)), key=lambda frame: uids.index(sources[frame]))
    frames = np.frombuffer(pm.FloatPixelData, dtype="<f4").reshape(len(groups), -1)
    pm.FloatPixelData = frames[order].tobytes()
    pm.PerFrameFunctionalGroupsSequence = [groups[frame] for frame in order]
    for number, group in enumerate(pm.PerFrameFunctionalGroupsSequence, start=1):
        group.FrameContentSequence[0].DimensionIndexValues = number


def _frame_anatomy(pm: ParametricMap, finding: Mapped) -> None:
    """Where the finding lies (PS3.3 C.7.6.16.2.8). Optional in the standard, but dcmqi ends without it."""
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = [coded(_codes(finding).site)]
    anatomy.FrameLaterality = "U"
    pm.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]


def probabilities(probability: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Steps of ``MaskFinding.probability`` as probabilities, same shape."""
    return probability.astype(np.float32) / np.float32(PROBABILITY_SCALE)


def _checked(finding: Mapped, context: Context) -> NDArray[np.uint16]:
    probability = finding.probability
    if probability is None or probability.shape != context.case.volume.hu.shape:
        raise EncodeError(f"{finding.name}: the probability map does not fit the source slices")
    if int(probability.max()) > PROBABILITY_SCALE:
        raise EncodeError(f"{finding.name}: a probability exceeds 1")
    return probability


def _mapping(finding: Mapped) -> RealWorldValueMapping:
    """From stored values to probabilities (PS3.3 C.7.6.16.2.11; CID 7180)."""
    return RealWorldValueMapping(
        lut_label="PROBABILITY",
        lut_explanation=f"{_says(finding)}, 0 to 1"[:64],
        unit=Code(*codes.NO_UNITS),
        value_range=(0.0, 1.0),
        slope=1,
        intercept=0,
        quantity_definition=Code(*codes.PROBABILISTIC_SEGMENTATION),
    )

"""The last look at a result before it may leave: read back from disk and compared with the case.

An independent reading where it matters: the mask is unpacked from the bits by frame position, not by the library that
packed it, and required attributes are those of the standard's tables (PS3.3 annex A), not those the encoder set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from scipy.ndimage import binary_dilation

from dicomnode.dicom import codes
from dicomnode.dicom.uids import is_valid_uid
from dicomnode.encode.context import Context, Envelope
from dicomnode.encode.kinds.predicted import stored_frames, stored_slice
from dicomnode.encode.kinds.probability import mapped, probabilities
from dicomnode.encode.kinds.scores import DECIMALS
from dicomnode.encode.kinds.seg import segmented
from dicomnode.encode.kinds.sr import MAX_LESION_GROUPS
from dicomnode.encode.standard import faults, mandatory_modules
from dicomnode.errors import EncodeError
from dicomnode.kinds import Kind, first_choice
from dicomnode.measure.figures import rounded_ml
from dicomnode.records import MaskFinding, ReferenceScore

POSITION_TOLERANCE_MM = 1e-3
COLOUR_CONTRAST = 60
"""Between the channels of a pixel: more than the tints of the letters have."""


def validate(path: Path, context: Context, kind: Kind, results: dict[str, Dataset]) -> None:
    """Check one result file against the standard's tables and against the case.

    Parameters
    ----------
    path : the file as written.
    results : all results of the case by kind; a report refers to the segmentation.

    Raises
    ------
    EncodeError : anything is missing or differs; the message names kind and attribute, never a patient's value.
    """
    known = {str(ref.SOPInstanceUID) for ref in context.references}
    known |= {old.sop_instance_uid for old in context.predecessors}
    ds = validate_shared(path, context, kind, known | {str(result.SOPInstanceUID) for result in results.values()})
    check = _CHECKS.get(kind) or _CHECKS.get(first_choice(kind))
    if check is not None:
        check(ds, context)


def validate_shared(path: Path, envelope: Envelope, kind: Kind, known: set[str]) -> Dataset:
    """Check what holds for every result, whatever it says.

    Parameters
    ----------
    known : SOPInstanceUIDs that it may refer to.

    Raises
    ------
    EncodeError : anything is missing or differs.
    """
    ds = pydicom.dcmread(path)
    _check_file_meta(ds, kind)
    _check_identity(ds, envelope, kind)
    _check_required(ds, kind)
    _check_uids(ds, kind)
    _check_references(ds, envelope, known, kind)
    return ds


def _demand(condition: bool, kind: Kind, fault: str) -> None:
    if not condition:
        raise EncodeError(f"{kind}: {fault}")


def _check_file_meta(ds: Dataset, kind: Kind) -> None:
    meta = ds.file_meta
    expected = RLELossless if kind is Kind.SC else ExplicitVRLittleEndian
    _demand(meta.TransferSyntaxUID == expected, kind, f"transfer syntax is not {expected.name}")
    _demand(meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID, kind, "file meta names another instance")
    _demand(meta.MediaStorageSOPClassUID == ds.SOPClassUID, kind, "file meta names another SOP class")


def _check_identity(ds: Dataset, envelope: Envelope, kind: Kind) -> None:
    for element in envelope.identity:
        _demand(element.tag in ds, kind, f"{element.keyword} of the source is missing")
        if element.VR != "SQ":
            same = str(ds[element.tag].value or "") == str(element.value or "")
            _demand(same, kind, f"{element.keyword} differs from the source")
    research = ds.get("ContentQualification", "") == "RESEARCH"
    _demand(research == envelope.is_research, kind, "ContentQualification does not tell what the models are")


def _check_required(ds: Dataset, kind: Kind) -> None:
    for _, fault in faults(ds, mandatory_modules(ds.SOPClassUID)):
        raise EncodeError(f"{kind}: {fault}")


def _check_uids(ds: Dataset, kind: Kind) -> None:
    for element in ds.iterall():
        if element.VR == "UI":
            values = element.value if element.VM > 1 else [element.value]
            _demand(all(is_valid_uid(str(uid)) for uid in values if uid), kind, f"{element.keyword} is no valid UID")


def _check_references(ds: Dataset, envelope: Envelope, known: set[str], kind: Kind) -> None:
    """Every instance referred to is a source slice or a result of the same case."""
    carried = {element.tag for element in envelope.identity}
    for element in ds:
        if element.VR != "SQ" or element.tag in carried:
            continue
        for item in element.value:
            for uid in _referenced(item):
                _demand(uid in known, kind, f"{element.keyword} refers to an instance that is not of this case")


def _referenced(item: Dataset) -> Iterator[str]:
    for element in item.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            yield str(element.value)


def _check_seg(ds: Dataset, context: Context) -> None:
    """Every finding's mask, read back by frame position, equals the mask that was measured."""
    segments = segmented(context.case.masks)
    _demand(len(ds.SegmentSequence) == len(segments), Kind.SEG, "number of segments differs from the findings")
    for number, finding in segments:
        same = np.array_equal(_mask_in_file(ds, number, context), finding.mask)
        _demand(same, Kind.SEG, f"segment {number} differs from the mask")


def _mask_in_file(ds: Dataset, segment: int, context: Context) -> NDArray[np.bool_]:
    stack = context.case.volume.stack
    frame_size = stack.rows * stack.columns
    bits = np.unpackbits(np.frombuffer(ds.PixelData, dtype=np.uint8), bitorder="little")
    frames = bits[: int(ds.NumberOfFrames) * frame_size].reshape(-1, stack.rows, stack.columns)
    mask = np.zeros((len(stack.positions_mm), stack.rows, stack.columns), dtype=bool)
    for frame, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        if _segment_number(ds, group) == segment:
            mask[_slice_index(group, context, Kind.SEG)] |= frame.astype(bool)
    return mask


def _segment_number(ds: Dataset, group: Dataset) -> int:
    shared = ds.SharedFunctionalGroupsSequence[0]
    holder = group if "SegmentIdentificationSequence" in group else shared
    return int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _slice_index(group: Dataset, context: Context, kind: Kind) -> int:
    """The slice that a frame lies on by its position; its source image must be that slice."""
    index = _slice_at(group.PlanePositionSequence[0].ImagePositionPatient, context, kind)
    source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    _demand(source == context.case.volume.sop_instance_uids[index], kind, "a frame names another slice as its source")
    return index


def _slice_at(position: Iterable[Any], context: Context, kind: Kind) -> int:
    distances = np.linalg.norm(context.case.volume.stack.positions_mm - [float(v) for v in position], axis=1)
    index = int(np.argmin(distances))
    _demand(bool(distances[index] < POSITION_TOLERANCE_MM), kind, "a frame lies on no source slice")
    return index


def _check_probability(ds: Dataset, context: Context) -> None:
    """The map, read back by frame position, is that of one finding, and its values are said to be probabilities."""
    kind = Kind.PROBABILITY
    stored = np.zeros(context.case.volume.hu.shape, dtype=np.float32)
    frames = np.frombuffer(ds.FloatPixelData, dtype="<f4").reshape(-1, ds.Rows, ds.Columns)
    for frame, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        stored[_slice_index(group, context, kind)] = frame
    expected = mapped(context.case)[int(ds.InstanceNumber) - 1].probability
    same = expected is not None and np.array_equal(stored, probabilities(expected))
    _demand(same, kind, "the map differs from the probabilities of the model")
    mapping = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    scale = (float(mapping.RealWorldValueSlope), float(mapping.RealWorldValueIntercept))
    _demand(scale == (1.0, 0.0), kind, "the mapping changes the probabilities")


def _check_sr(ds: Dataset, context: Context) -> None:
    """The volumes in the report are those measured, in order."""
    _check_flags(ds, Kind.SR)
    written = [float(item.MeasuredValueSequence[0].NumericValue) for item in _items_named(ds, codes.VOLUME)]
    expected = [volume for finding in context.case.masks for volume in _volumes(finding)]
    _demand(written == expected, Kind.SR, "the volumes differ from those measured")


def _check_flags(ds: Dataset, kind: Kind) -> None:
    _demand(ds.VerificationFlag == "UNVERIFIED", kind, "the report claims to be verified")
    _demand(ds.get("PreliminaryFlag", "") == "PRELIMINARY", kind, "the report claims to be final")


def _check_scores(ds: Dataset, context: Context) -> None:
    """Every score has its group, in order, and its first number is the score; what has no number is there without."""
    _check_flags(ds, Kind.SCORES)
    groups = [_numbers_of(group)[:1] for group in _items_named(ds, codes.MEASUREMENT_GROUP)]
    case = context.case
    expected = [[round(score.value, DECIMALS)] for score in case.scores]
    expected += [[] for _ in case.not_applicable]
    expected += [_first_number(reference) for reference in case.reference]
    _demand(groups == expected, Kind.SCORES, "the values differ from those computed")


def _first_number(reference: ReferenceScore) -> list[float]:
    """The value, or the lowest that is possible; nothing of what cannot be computed."""
    known = reference.value if reference.possible is None else reference.possible[0]
    return [] if known is None else [round(known, DECIMALS)]


def _numbers_of(group: Dataset) -> list[float]:
    numbers = (item for item in group.ContentSequence if item.ValueType == "NUM")
    return [float(number.MeasuredValueSequence[0].NumericValue) for number in numbers]


def _check_text(ds: Dataset, context: Context) -> None:
    """Every finding has its impression, and the limits of use stand below them."""
    _check_flags(ds, Kind.TEXT)
    written = [str(item.TextValue).replace("\r\n", " ") for item in _items_named(ds, codes.IMPRESSION)]
    case, words = context.case, context.words
    expected = [*map(words.impression, case.masks), *map(words.score_sentence, case.scores)]
    found = written[: len(expected)] == expected and written[-1] == words.disclaimer()
    _demand(found and len(written) == len(case.findings) + 1, Kind.TEXT, "the impressions differ from the findings")


def _volumes(finding: MaskFinding) -> list[float]:
    if finding.total is None:
        return []
    regions = [finding.total, *finding.lesions[:MAX_LESION_GROUPS]]
    return [rounded_ml(region.volume_ml) for region in regions]


def _items_named(item: Dataset, name: codes.Code) -> Iterator[Dataset]:
    """Content items below ``item`` with this concept name, depth first (PS3.3 C.17.3)."""
    for child in item.get("ContentSequence", ()):
        concept = child.ConceptNameCodeSequence[0] if child.get("ConceptNameCodeSequence") else Dataset()
        if (concept.get("CodeValue"), concept.get("CodingSchemeDesignator")) == name[:2]:
            yield child
        yield from _items_named(child, name)


def _check_predicted(ds: Dataset, context: Context) -> None:
    """Every frame lies on its slice and holds what was predicted there; nothing says that it was acquired."""
    _check_synthetic(ds, context, Kind.PREDICTED)
    pixels = np.frombuffer(ds.PixelData, dtype="<u2").reshape(-1, ds.Rows, ds.Columns)
    groups = ds.PerFrameFunctionalGroupsSequence
    slices = [
        _slice_at(group.PlanePositionSequence[0].ImagePositionPatient, context, Kind.PREDICTED) for group in groups
    ]
    _demand(slices == list(range(len(context.references))), Kind.PREDICTED, "the frames are not those of the slices")
    same = any(np.array_equal(pixels, stored_frames(finding, context.words)) for finding in context.case.images)
    _demand(same, Kind.PREDICTED, "the pixels differ from the prediction")


def _check_predicted_slice(ds: Dataset, context: Context) -> None:
    _check_synthetic(ds, context, Kind.PREDICTED_SC)
    index = _slice_at(ds.ImagePositionPatient, context, Kind.PREDICTED_SC)
    pixels = np.frombuffer(ds.PixelData, dtype="<u2").reshape(ds.Rows, ds.Columns)
    same = any(np.array_equal(pixels, stored_slice(finding, index, context.words)) for finding in context.case.images)
    _demand(same, Kind.PREDICTED_SC, "the pixels differ from the prediction")


def _check_synthetic(ds: Dataset, context: Context, kind: Kind) -> None:
    marks = (ds.get("SyntheticData"), ds.get("ConversionType"), ds.get("BurnedInAnnotation"))
    _demand(marks == ("YES", "SYN", "YES"), kind, "the scan is not marked as synthetic")
    own = ds.FrameOfReferenceUID != context.references[0].FrameOfReferenceUID
    _demand(own, kind, "the frame of reference is that of the source")


def _check_sc(ds: Dataset, context: Context) -> None:
    _demand(ds.PhotometricInterpretation == "RGB", Kind.SC, "the picture is not RGB")
    ds.pixel_array_options(decoding_plugin="pydicom")
    _demand(ds.pixel_array.shape == (ds.Rows, ds.Columns, 3), Kind.SC, "pixel data have the wrong length")
    _demand(bool(np.ptp(ds.pixel_array) > 0), Kind.SC, "the picture is empty")


def _check_overlay(ds: Dataset, context: Context) -> None:
    """The picture lies on its slice, and colour is where the mask's edge is and nowhere else."""
    index = _slice_at(ds.ImagePositionPatient, context, Kind.SEG_SC)
    pixels = np.frombuffer(ds.PixelData, dtype=np.uint8)[: ds.Rows * ds.Columns * 3].reshape(ds.Rows, ds.Columns, 3)
    coloured = np.ptp(pixels.astype(np.int16), axis=2) > COLOUR_CONTRAST
    marked = np.any([finding.mask[index] for finding in context.case.masks], axis=0)
    _demand(
        bool(coloured.any()) == bool(marked.any()), Kind.SEG_SC, "the outline does not tell whether there is a mask"
    )
    near = binary_dilation(marked, iterations=2) if marked.any() else marked
    _demand(not bool((coloured & ~near).any()), Kind.SEG_SC, "there is an outline where there is no mask")


_CHECKS: dict[Kind, Callable[[Dataset, Context], None]] = {
    Kind.SEG: _check_seg,
    Kind.SR: _check_sr,
    Kind.SR_NEGATIVE: _check_sr,
    Kind.SCORES: _check_scores,
    Kind.TEXT: _check_text,
    Kind.SC: _check_sc,
    Kind.PREDICTED: _check_predicted,
    Kind.PREDICTED_SC: _check_predicted_slice,
    Kind.PROBABILITY: _check_probability,
    Kind.SEG_SC: _check_overlay,
}
"""What a kind says, against the case; a stand-in without a check of its own says what its first choice says."""

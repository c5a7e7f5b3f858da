"""A scan that nobody acquired: the predicted follow-up, marked so that no one can take it for a CT.

Kind ``predicted``: Multi-frame Grayscale Word Secondary Capture (DICOM PS3.3 A.8.5) with the plane of every frame,
which viewers scroll and measure rightly. Kind ``predicted_sc``: the same as single-frame Secondary Captures, for a PACS
that refuses multi-frame. Never a CT object: a viewer would show it as an acquired series.

What tells it apart: SyntheticData YES, ConversionType SYN, a Synthesizing Equipment, a banner in the pixels, a frame of
reference of its own, so that no segmentation or report of the real scan can land on it; neither dose nor times of an
acquisition. What a prediction of the tissue cannot show, since it shows what is likeliest, is outlined on it by its
probability.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from highdicom.base import SOPClass
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from scipy.ndimage import binary_erosion

from dicomnode.dicom import codes
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.dicom.uids import derived_uid
from dicomnode.encode.capture import lay_on, new_capture, source_image
from dicomnode.encode.content import private_scheme
from dicomnode.encode.context import Context, coded, stamp
from dicomnode.encode.frames import pixel_measures
from dicomnode.encode.pictures.drawing import Pen, font, plain
from dicomnode.encode.pictures.slices import WINDOW_CENTRE_HU, WINDOW_WIDTH_HU, edge_letters
from dicomnode.encode.wording import Wording
from dicomnode.kinds import MULTI_FRAME_WORD_SC, SECONDARY_CAPTURE, Kind
from dicomnode.records import PROBABILITY_SCALE, ImageFinding

INTERCEPT_HU = -1024
BANNER_HU = 3071
"""Far above any window for the brain, on air: viewers interpolate HU, and thin strokes of less would vanish."""
FAINTEST_INK = 70
"""Of 255; what is drawn fainter is left out of the banner."""
OUTLINED = {0.1: 1, 0.3: 2, 0.5: 4}
"""Probability -> how many of four neighbours along its outline are drawn: the surer, the more whole is the line."""


def predicted_scans(context: Context) -> list[SOPClass]:
    """Every predicted scan of a case as one multi-frame instance."""
    return [_multi_frame(finding, index, context) for index, finding in enumerate(context.case.images)]


def predicted_slices(context: Context) -> list[SOPClass]:
    """Every slice of every predicted scan as an instance of its own."""
    slices = len(context.references)
    return [
        _single_frame(finding, stored, number, index * slices + number, context)
        for index, finding in enumerate(context.case.images)
        for number, stored in enumerate(stored_frames(finding, context.words))
    ]


def banner_rows(rows: int) -> int:
    """Height of each of the two strips, at the upper and the lower edge."""
    return max(12, rows // 20)


def stored_frames(finding: ImageFinding, words: Wording) -> NDArray[np.uint16]:
    """(slices, rows, columns): HU - ``INTERCEPT_HU``, with outlines, and the banner in the first and the last rows."""
    limits = (0, np.iinfo(np.uint16).max)
    stored: NDArray[np.uint16] = np.clip(np.rint(finding.hu) - INTERCEPT_HU, *limits).astype(np.uint16)
    for index, frame in enumerate(stored):
        _outline(frame, finding, index)
    height = banner_rows(stored.shape[1])
    upper, lower = banner_texts(finding, words)
    stored[:, :height] = _strip(upper, height, stored.shape[2])
    stored[:, -height:] = _strip(lower, height, stored.shape[2])
    return stored


def stored_slice(finding: ImageFinding, index: int, words: Wording) -> NDArray[np.uint16]:
    """(rows, columns) of one of the frames."""
    part = slice(index, index + 1)
    probability = None if finding.probability is None else finding.probability[part]
    alone = replace(finding, hu=finding.hu[part], probability=probability)
    stored: NDArray[np.uint16] = stored_frames(alone, words)[0]
    return stored


def banner_texts(finding: ImageFinding, words: Wording) -> tuple[str, str]:
    """Of the upper and the lower strip."""
    said = [words.say("predicted banner"), *(text.upper() for text in _said(finding, words))]
    return " - ".join(said), f"{finding.horizon.upper()} - {words.say('predicted use')}"


def _said(finding: ImageFinding, words: Wording) -> list[str]:
    """What is known of it that the tissue alone does not show."""
    note = [words.text(finding.note)] if finding.note else []
    return note + ([words.say("predicted lines")] if finding.probability is not None else [])


def _outline(frame: NDArray[np.uint16], finding: ImageFinding, index: int) -> None:
    """Draw where a probability begins into the pixels (rows, columns) of a slice."""
    if finding.probability is None:
        return
    rows, columns = np.indices(frame.shape)
    for level, drawn in OUTLINED.items():
        above = finding.probability[index] >= round(level * PROBABILITY_SCALE)
        edge = above & ~binary_erosion(above) & ((rows + columns) % 4 < drawn)
        frame[edge] = BANNER_HU - INTERCEPT_HU


def _strip(text: str, height: int, width: int) -> NDArray[np.uint16]:
    """(height, width): the text as large as it fits, on air."""
    image = Image.new("L", (width, height), 0)
    pen = Pen(ImageDraw.Draw(image))
    size = next((size for size in range(height - 2, 5, -1) if pen.width(text, size) < width - 4), 5)
    pen.draw.text((width / 2, height / 2), plain(text)[0], font=font(size), fill=255, anchor="mm")
    # Ink or none: the half tones of thin strokes would be black in a window for the brain.
    return np.where(np.asarray(image) > FAINTEST_INK, BANNER_HU - INTERCEPT_HU, 0).astype(np.uint16)


def _multi_frame(finding: ImageFinding, index: int, context: Context) -> SOPClass:
    ds = new_capture(Kind.PREDICTED, MULTI_FRAME_WORD_SC, index, context)
    frames = stored_frames(finding, context.words)
    _describe(ds, finding, context)
    _pixels(ds, frames)
    ds.SourceImageSequence = [source_image(reference) for reference in context.references]
    ds.NumberOfFrames = len(frames)
    ds.FrameIncrementPointer = Tag("SliceLocationVector")
    ds.SliceLocationVector = [round(float(offset), 4) for offset in context.case.volume.stack.offsets_mm]
    ds.SharedFunctionalGroupsSequence = [_shared_groups(context)]
    ds.PerFrameFunctionalGroupsSequence = [_frame_groups(number, context) for number in range(len(frames))]
    _finish(ds, finding, Kind.PREDICTED, context)
    return ds


def _single_frame(
    finding: ImageFinding, stored: NDArray[np.uint16], number: int, index: int, context: Context
) -> SOPClass:
    ds = new_capture(Kind.PREDICTED_SC, SECONDARY_CAPTURE, index, context)
    _describe(ds, finding, context)
    _pixels(ds, stored)
    lay_on(ds, context.references[number])
    _finish(ds, finding, Kind.PREDICTED_SC, context)
    return ds


def _describe(ds: Dataset, finding: ImageFinding, context: Context) -> None:
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ConversionType = "SYN"
    ds.SyntheticData = "YES"
    ds.BurnedInAnnotation = "YES"
    ds.RecognizableVisualFeatures = "YES"
    ds.LossyImageCompression = "00"
    ds.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    ds.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
    ds.FrameOfReferenceUID = derived_uid("predicted frame of reference", context.digest, finding.name)
    ds.PositionReferenceIndicator = ""
    _, right, _, bottom = edge_letters(context.case.volume.stack)
    ds.PatientOrientation = [right, bottom]
    ds.DerivationCodeSequence = [coded(codes.PREDICTION)]
    ds.DerivationDescription = f"{finding.label}, {finding.horizon}: computed by {finding.model.name}, never acquired"
    said = [f"{finding.label}, {finding.horizon}", *_said(finding, context.words)]
    warning, use = context.words.say("predicted banner"), context.words.say("predicted use")
    ds.ImageComments = " ".join((*(f"{one}." for one in (*said, warning, use)), *finding.warnings))[:10240]


def _pixels(ds: Dataset, stored: NDArray[np.uint16]) -> None:
    """Image Pixel, Modality LUT and VOI LUT; in the SC objects they stand at the top level (PS3.3 C.8.6.3)."""
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PresentationLUTShape = "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(INTERCEPT_HU), "1", "HU"
    ds.WindowCenter, ds.WindowWidth = f"{WINDOW_CENTRE_HU:g}", f"{WINDOW_WIDTH_HU:g}"
    ds.PixelData = stored.astype("<u2").tobytes()


def _shared_groups(context: Context) -> Dataset:
    plane = Dataset()
    plane.ImageOrientationPatient = context.references[0].ImageOrientationPatient
    groups = Dataset()
    groups.PlaneOrientationSequence = [plane]
    groups.PixelMeasuresSequence = [pixel_measures(context.references)]
    return groups


def _frame_groups(number: int, context: Context) -> Dataset:
    """Position of one frame: that of the source's own slice (PS3.3 C.7.6.16.2.3)."""
    position, groups = Dataset(), Dataset()
    position.ImagePositionPatient = context.references[number].ImagePositionPatient
    groups.PlanePositionSequence = [position]
    return groups


def _finish(ds: SOPClass, finding: ImageFinding, kind: Kind, context: Context) -> None:
    """What every result carries, and who synthesized the pixels (PS3.3 C.12.1.1.5, CID 7005)."""
    stamp(ds, context, kind, context.words.series("predicted series"))
    processing = ds.ContributingEquipmentSequence[0]
    item = Dataset()
    item.Manufacturer, item.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    item.SoftwareVersions = f"{finding.model.name} {finding.model.version}"[:64]
    item.ContributionDescription = f"{finding.model.title}, {finding.model.digest}"[:1024]
    item.PurposeOfReferenceCodeSequence = [coded(codes.SYNTHESIZING_EQUIPMENT)]
    ds["ContributingEquipmentSequence"] = DataElement("ContributingEquipmentSequence", "SQ", [processing, item])
    ds.CodingSchemeIdentificationSequence = [private_scheme()]

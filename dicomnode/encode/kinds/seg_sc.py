"""The marked slices as pictures, for a destination that refuses segmentations (DICOM PS3.3 A.8.1, C.8.6).

A series of single-frame RGB Secondary Captures on the source's own slices, in its frame of reference: a viewer scrolls
it beside the CT. Nothing in it can be measured or switched off; the outline encloses exactly the marked pixels.
"""

from __future__ import annotations

import numpy as np
from highdicom.base import SOPClass
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from dicomnode.dicom import codes
from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.encode.capture import lay_on, new_capture
from dicomnode.encode.context import Context, stamp
from dicomnode.encode.pictures.contours import outlines
from dicomnode.encode.pictures.drawing import DIM, INK, Pen
from dicomnode.encode.pictures.slices import OVERSAMPLING, capitalised, edge_letters, slice_name, windowed
from dicomnode.encode.wording import Wording
from dicomnode.kinds import SECONDARY_CAPTURE, Kind
from dicomnode.records import Case, MaskFinding

KIND = Kind.SEG_SC
MAX_PICTURES = 120
"""Of thin slices, so many are shown, evenly spread: a picture is three bytes a pixel."""
MARGIN_SLICES = 1


def overlays(context: Context) -> list[SOPClass]:
    """One picture for each slice from the first to the last with a mark, and its neighbours; none for a negative."""
    return [_picture(index, number, context) for number, index in enumerate(shown_slices(context.case))]


def shown_slices(case: Case) -> list[int]:
    """Slices with a picture, in stack order."""
    marked = np.flatnonzero(np.any([finding.mask.any(axis=(1, 2)) for finding in case.masks], axis=0))
    if not marked.size:
        return []
    first = max(0, int(marked[0]) - MARGIN_SLICES)
    last = min(len(case.volume.hu) - 1, int(marked[-1]) + MARGIN_SLICES)
    count = min(last - first + 1, MAX_PICTURES)
    return sorted({round(float(index)) for index in np.linspace(first, last, count)})


def overlay_pixels(case: Case, index: int) -> NDArray[np.uint8]:
    """(rows, columns, 3): one slice in the brain window, each finding outlined, the limits of use written on it."""
    grey = Image.fromarray(windowed(case.volume.hu[index]))
    image = grey.convert("RGB")
    for finding in case.masks:
        image.paste(Image.new("RGB", image.size, codes.colour_of(finding)), mask=_line(finding, index, image.size))
    _words(Pen(ImageDraw.Draw(image)), case, index, image.size)
    return np.asarray(image)


def _line(finding: MaskFinding, index: int, size: tuple[int, int]) -> Image.Image:
    """How much of each pixel the outline covers, drawn finer and reduced."""
    fine = Image.new("L", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), 0)
    draw = ImageDraw.Draw(fine)
    for outline in outlines(finding.mask[index]):
        points = [(float(x) * OVERSAMPLING, float(y) * OVERSAMPLING) for x, y in outline]
        draw.line(points, fill=255, width=2 * OVERSAMPLING - 1, joint="curve")
    return fine.resize(size, Image.Resampling.BOX)


def _words(pen: Pen, case: Case, index: int, size: tuple[int, int]) -> None:
    columns, rows = size
    font = max(8, min(rows, columns) // 34)
    left, right, top, _ = edge_letters(case.volume.stack)
    is_research = any(finding.model.research for finding in case.findings)
    words = Wording(case.language)
    notice = words.say("overlay research" if is_research else "overlay unverified")
    fitting = next((size for size in range(font, 5, -1) if pen.width(notice, size) < columns - 4), 5)
    pen.text((columns / 2, 3), notice, fitting, INK, anchor="ma", halo=True)
    pen.text((4, rows / 2), left, font, INK, anchor="lm", halo=True)
    pen.text((columns - 4, rows / 2), right, font, INK, anchor="rm", halo=True)
    pen.text((columns / 2, font + 8), top, font, INK, anchor="ma", halo=True)
    pen.text((4, rows - 4), capitalised(slice_name(case, index, words)), font, DIM, anchor="ld", halo=True)


def _picture(index: int, number: int, context: Context) -> SOPClass:
    ds = new_capture(KIND, SECONDARY_CAPTURE, number, context)
    _describe(ds, context)
    _place(ds, context.references[index])
    _pixels(ds, overlay_pixels(context.case, index))
    stamp(ds, context, KIND, context.words.series("overlay series"))
    return ds


def _describe(ds: Dataset, context: Context) -> None:
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ConversionType = "SYN"
    # NO: the pixels hold no annotation that tells patient and date (PS3.3 C.7.6.1); the notice is no identification.
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    ds.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
    _, right, _, bottom = edge_letters(context.case.volume.stack)
    ds.PatientOrientation = [right, bottom]
    ds.DerivationDescription = "Findings marked by software, outlined on the source image"
    ds.ImageComments = " ".join(map(context.words.impression, context.case.masks))[:10240]


def _place(ds: Dataset, reference: Dataset) -> None:
    """On the source's own slice, in its frame of reference."""
    ds.FrameOfReferenceUID = reference.FrameOfReferenceUID
    ds.PositionReferenceIndicator = ""
    lay_on(ds, reference)


def _pixels(ds: Dataset, pixels: NDArray[np.uint8]) -> None:
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    ds.PixelData = content + b"\0" * (len(content) % 2)

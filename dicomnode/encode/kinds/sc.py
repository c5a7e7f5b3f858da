"""The overview picture as a Secondary Capture, for viewers that show neither SEG nor SR (DICOM PS3.3 A.8.1, C.8.6)."""

from __future__ import annotations

import numpy as np
from highdicom.sc import SCImage
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from pydicom.valuerep import DA, TM, VR

from dicomnode.dicom.equipment import MANUFACTURER, MODEL_NAME
from dicomnode.encode.capture import source_image
from dicomnode.encode.context import Context, stamp
from dicomnode.encode.pictures.overview import overview_image
from dicomnode.encode.pictures.slices import edge_letters
from dicomnode.encode.pictures.tiles import layout_of
from dicomnode.encode.run_lengths import run_length_frame
from dicomnode.kinds import Kind

KIND = Kind.SC


def secondary_capture(context: Context) -> SCImage:
    """The overview of a case, whatever it comes to, as an RGB image, run-length encoded (PS3.5 annex G).

    Every viewer decodes that, and a peer that does not take it gets the pixels native. Deflated it would be half as
    large, but Debian's validators cannot read such a data set.
    """
    picture = np.asarray(overview_image(context.case))
    _, right, _, bottom = edge_letters(context.case.volume.stack)
    image = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=(right, bottom),
        study_instance_uid=str(context.identity.StudyInstanceUID),
        series_instance_uid=context.series_uid(KIND),
        series_number=context.series_number(KIND),
        sop_instance_uid=context.instance_uid(KIND),
        instance_number=1,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    _encapsulate(image, run_length_frame(picture))
    _describe(image, context)
    stamp(image, context, KIND, _series_description(context))
    return image


def _encapsulate(image: SCImage, frame: bytes) -> None:
    # What Dataset.compress does. Its encoders: GDCM ends the process on RGB, pydicom's takes longer than all the rest.
    image.PixelData = encapsulate([frame])
    image["PixelData"].VR, image["PixelData"].is_undefined_length = VR.OB, True
    image.file_meta.TransferSyntaxUID = RLELossless


def _series_description(context: Context) -> str:
    is_alone = len(context.case.findings) == 1
    return context.words.series("sc series", context.case.masks if is_alone else ())


def _describe(image: SCImage, context: Context) -> None:
    image.ConversionType = "SYN"
    image.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    image.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
    image.DateOfSecondaryCapture = DA(context.created.date())
    image.TimeOfSecondaryCapture = TM(context.created.strftime("%H%M%S"))
    # NO: the pixels hold no annotation that tells patient and date (PS3.3 C.7.6.1); the banner is no identification.
    image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"
    image.DerivationDescription = "Overview of findings marked by software, with key slices of the source series"
    words = context.words
    sentences = [*map(words.impression, context.case.masks), *map(words.score_sentence, context.case.scores)]
    sentences += map(words.prediction_sentence, context.case.images)
    sentences += map(words.not_applicable_sentence, context.case.not_applicable)
    image.ImageComments = " ".join(sentences)[:10240]
    image.SourceImageSequence = [source_image(context.references[index]) for index in shown_slices(context)]


def shown_slices(context: Context) -> list[int]:
    """Slices in the picture, in stack order."""
    _, tiles = layout_of(context.case)
    return sorted({tile.index for tile in tiles})

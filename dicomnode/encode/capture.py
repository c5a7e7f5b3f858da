"""What the secondary captures of this project share (DICOM PS3.3 A.8, C.8.6)."""

from __future__ import annotations

from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.dicom import codes
from dicomnode.dicom.equipment import MANUFACTURER
from dicomnode.encode.context import Context, coded
from dicomnode.kinds import Kind

PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")


def new_capture(kind: Kind, sop_class_uid: str, index: int, context: Context) -> SOPClass:
    """An instance without pixels, in the series of its kind.

    Parameters
    ----------
    index : 0-based, within the series.
    """
    return SOPClass(
        study_instance_uid=str(context.identity.StudyInstanceUID),
        series_instance_uid=context.series_uid(kind),
        series_number=context.series_number(kind),
        sop_instance_uid=context.instance_uid(kind, index),
        sop_class_uid=sop_class_uid,
        instance_number=index + 1,
        modality="OT",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def lay_on(ds: Dataset, reference: Dataset) -> None:
    """On the plane of a source slice, and naming it."""
    for keyword in PLANE:
        ds[keyword] = reference[keyword]
    ds.SourceImageSequence = [source_image(reference)]


def source_image(reference: Dataset) -> Dataset:
    """Item of the Source Image Sequence (PS3.3 C.7.6.1.1.4)."""
    item = Dataset()
    item.ReferencedSOPClassUID = reference.SOPClassUID
    item.ReferencedSOPInstanceUID = reference.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE)]
    return item

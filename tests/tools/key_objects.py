"""Key objects as archives and modalities send them, written by hand: not by the code under test."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"


def key_object(images: Sequence[Dataset], code: str, scheme: str = "DCM", manufacturer: str = "ARCHIVE") -> Dataset:
    """A Key Object Selection Document with this title about instances of one study (DICOM PS3.3 A.35.4)."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = KEY_OBJECT_SELECTION, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = images[0].StudyInstanceUID, generate_uid()
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "KO", manufacturer, manufacturer
    for keyword in ("PatientName", "PatientID", "AccessionNumber"):
        setattr(ds, keyword, images[0].get(keyword, ""))
    ds.InstanceNumber, ds.SeriesNumber = 1, 900
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [_code(code, scheme)]
    ds.ContentSequence = [_item(image) for image in images]
    ds.CurrentRequestedProcedureEvidenceSequence = [_study(images)]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def _code(value: str, scheme: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "a title"
    return item


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


def _item(image: Dataset) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ReferencedSOPSequence = [_reference(image)]
    return item


def _study(images: Sequence[Dataset]) -> Dataset:
    item, series = Dataset(), {}
    for image in images:
        series.setdefault(str(image.SeriesInstanceUID), []).append(image)
    item.StudyInstanceUID = images[0].StudyInstanceUID
    item.ReferencedSeriesSequence = []
    for uid, members in series.items():
        of = Dataset()
        of.SeriesInstanceUID, of.ReferencedSOPSequence = uid, [_reference(image) for image in members]
        item.ReferencedSeriesSequence.append(of)
    return item

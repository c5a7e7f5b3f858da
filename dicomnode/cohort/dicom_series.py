"""Writes an acquired head as a CT series: one CT Image Storage file per slice, with all modules (DICOM PS3.3 A.3.3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicomnode.cohort.acquire import AcquiredSeries, Acquisition
from dicomnode.cohort.canvas import AIR_HU
from dicomnode.dicom.uids import derived_uid

PADDING = -2000
"""PixelPaddingValue: outside the circle that the scanner reconstructs."""
INTERCEPT = -1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesIdentity:
    """Patient and study attributes of a written series. No real person: all made up.

    Attributes
    ----------
    study_uid, series_uid : None derives them from the other attributes, so that the same call writes the same UIDs.
    """

    patient_name: str = "COHORT^ONE"
    patient_id: str = "COHORT-0001"
    birth_date: str = "19500101"
    sex: str = "O"
    age: str = "075Y"
    accession_number: str = "ACC0001"
    study_date: str = "20250102"
    study_time: str = "030405"
    study_description: str = "CT Head without contrast"
    series_description: str = "Head 5.0 soft tissue"
    series_number: int = 2
    acquisition_number: int = 1
    study_uid: str | None = None
    series_uid: str | None = None
    manufacturer: str = "dicomnode cohort"
    model_name: str = "Synthetic head CT"
    institution: str = "Synthetic"


def _uid(*parts: object) -> str:
    return derived_uid("cohort", *map(str, parts))


def _decimal(value: float) -> str:
    """Decimal string of at most 16 characters (PS3.5 6.2, DS)."""
    text = f"{value:.8f}"[:16].rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _patient_and_study(identity: SeriesIdentity, study_uid: str) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = identity.patient_name
    ds.PatientID = identity.patient_id
    ds.IssuerOfPatientID = "dicomnode cohort"
    ds.PatientBirthDate = identity.birth_date
    ds.PatientSex = identity.sex
    ds.PatientAge = identity.age
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = study_uid
    ds.StudyID = identity.accession_number[-8:]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = identity.study_date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = identity.study_time
    ds.AccessionNumber = identity.accession_number
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = identity.study_description
    return ds


def _series(ds: Dataset, identity: SeriesIdentity, series_uid: str, acquisition: Acquisition) -> None:
    ds.Modality = "CT"
    ds.SeriesInstanceUID = series_uid
    ds.FrameOfReferenceUID = _uid(ds.StudyInstanceUID, "frame of reference")
    ds.PositionReferenceIndicator = "OM"
    ds.SeriesNumber = str(identity.series_number)
    ds.SeriesDescription = identity.series_description
    ds.AcquisitionNumber = str(identity.acquisition_number)
    ds.BodyPartExamined = "HEAD"
    ds.Manufacturer = identity.manufacturer
    ds.ManufacturerModelName = identity.model_name
    ds.StationName = "COHORT"
    ds.InstitutionName = identity.institution
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = "1"
    ds.ScanOptions = "AXIAL"
    ds.KVP = "120"
    ds.XRayTubeCurrent = "280"
    ds.ExposureTime = "1000"
    ds.ConvolutionKernel = acquisition.kernel
    ds.SliceThickness = _decimal(acquisition.thickness_mm)
    ds.GantryDetectorTilt = _decimal(acquisition.tilt_deg)
    ds.ReconstructionDiameter = _decimal(acquisition.matrix * acquisition.pixel_mm)


def _pixel_attributes(ds: Dataset, acquired: AcquiredSeries) -> None:
    spacing = _decimal(acquired.acquisition.pixel_mm)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ImageOrientationPatient = [_decimal(value) for value in acquired.image_orientation]
    ds.PixelSpacing = [spacing, spacing]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = acquired.acquisition.matrix
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.RescaleIntercept = str(INTERCEPT)
    ds.RescaleSlope = "1"
    ds.RescaleType = "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "80"
    ds.BurnedInAnnotation = "NO"
    ds.SyntheticData = "YES"
    ds.LossyImageCompression = "00"
    ds.add_new("PixelPaddingValue", "SS", PADDING)


def _stored(hu: NDArray[np.float32], acquisition: Acquisition) -> bytes:
    """int16 pixels: HU minus intercept; padding outside the reconstruction circle."""
    line = np.arange(acquisition.matrix) - (acquisition.matrix - 1) / 2
    outside = np.hypot(line[:, None], line[None, :]) > acquisition.matrix / 2
    values = np.clip(np.rint(np.maximum(hu, AIR_HU - 24)) - INTERCEPT, 0, 4095).astype("<i2")
    values[outside] = PADDING
    return bytes(values.tobytes())


def _anatomy(ds: Dataset) -> None:
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "69536005", "SCT", "Head"
    ds.AnatomicRegionSequence = DicomSequence([region])


def _write(template: Dataset, acquired: AcquiredSeries, index: int, number: int, path: Path) -> None:
    ds = FileDataset(str(path), template, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = _uid(template.SeriesInstanceUID, number)
    ds.InstanceNumber = str(number)
    position = acquired.image_positions_mm[index]
    ds.ImagePositionPatient = [_decimal(value) for value in position]
    ds.SliceLocation = _decimal(acquired.acquisition.positions_mm[index])
    ds.PixelData = _stored(acquired.hu[index], acquired.acquisition)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds["PixelData"].VR = "OW"
    ds.save_as(path, enforce_file_format=True)


def write_acquired(acquired: AcquiredSeries, folder: Path, identity: SeriesIdentity | None = None) -> list[Path]:
    """Write one file per slice, ``0001.dcm`` and on, in the order of the acquisition's positions.

    Parameters
    ----------
    identity : of patient, study and series; made up where None.

    Returns
    -------
    Paths in the order of ``acquired.hu``.
    """
    identity = identity or SeriesIdentity()
    folder.mkdir(parents=True, exist_ok=True)
    study_uid = identity.study_uid or _uid(identity.patient_id, identity.accession_number)
    content = hashlib.sha256(acquired.hu.tobytes()).hexdigest()
    series_uid = identity.series_uid or _uid(study_uid, identity.series_number, identity.acquisition_number, content)
    template = _patient_and_study(identity, study_uid)
    _series(template, identity, series_uid, acquired.acquisition)
    _pixel_attributes(template, acquired)
    _anatomy(template)
    paths = [folder / f"{index + 1:04d}.dcm" for index in range(len(acquired.hu))]
    for index, path in enumerate(paths):
        _write(template, acquired, index, index + 1, path)
    return paths

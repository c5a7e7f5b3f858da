"""Small synthetic CT series of any geometry, made in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.dicom.geometry import stack_of
from dicomnode.dicom.headers import SliceHeader, header_of
from dicomnode.dicom.uids import derived_uid
from dicomnode.images.volume import read_volume
from dicomnode.records import Header, Stack, Volume

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
EVEN = tuple(range(0, 150, 5))
"""30 slices, 5 mm apart: a head."""


def tilted(degrees: float) -> tuple[float, ...]:
    """ImageOrientationPatient of a gantry tilted about x: the normal leans by ``degrees`` towards +y, as GE's +18.5."""
    angle = np.radians(degrees)
    return (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(-np.sin(angle)))


def ct_series(
    offsets_mm: Sequence[float] = EVEN,
    *,
    name: str = "series",
    orientation: Sequence[float] = AXIAL,
    matrix: int = 32,
    pixel_spacing_mm: tuple[float, float] = (7.0, 7.0),
    hu: float | Callable[[NDArray[np.float64]], NDArray[np.float64]] = 30.0,
    **attributes: Any,
) -> list[Dataset]:
    """One dataset per slice, in the order of ``offsets_mm``.

    Parameters
    ----------
    offsets_mm : along the slices' normal; the table moves along z, so that a tilted stack is sheared. What is steeper
        than 60 degrees is a reformat and moves along its normal.
    name : what the UIDs of series and instances derive from; the study is that of ``attributes`` or a common one.
    hu : one value, or a function from (n, 3) patient coordinates in mm to (n,) HU.
    attributes : DICOM keywords; a callable gets the slice's index; None removes the element.
    """
    normal = np.cross(orientation[:3], orientation[3:])
    travel = np.array([0, 0, 1 / normal[2]]) if abs(normal[2]) > 0.5 else normal
    corner = np.array([-matrix / 2 * pixel_spacing_mm[1], -matrix / 2 * pixel_spacing_mm[0], 0])
    datasets = []
    for index, offset in enumerate(offsets_mm):
        position = corner + float(offset) * travel
        ds = _slice(name, index, matrix)
        ds.ImagePositionPatient = [round(float(value), 6) for value in position]
        ds.ImageOrientationPatient = [round(float(value), 9) for value in orientation]
        ds.PixelSpacing = list(pixel_spacing_mm)
        _set(ds, index, attributes)
        if "PixelData" not in attributes:
            _fill(ds, hu)
        datasets.append(ds)
    return datasets


def ct_headers(offsets_mm: Sequence[float] = EVEN, **keywords: Any) -> list[Header]:
    """Headers of :func:`ct_series`."""
    return [header_of(ds) for ds in ct_series(offsets_mm, matrix=8, **keywords)]


def points_of(stack: Stack, indices: ArrayLike) -> NDArray[np.float64]:
    """Patient coordinates of voxels; right for tilted and uneven stacks, since each slice's own position is used.

    Parameters
    ----------
    indices : (n, 3) slice, row, column; rows and columns may be fractions, slices are integers.

    Returns
    -------
    (n, 3) float64: x, y, z, LPS, millimetres.
    """
    index = np.asarray(indices, dtype=np.float64).reshape(-1, 3)
    return np.asarray(
        stack.positions_mm[index[:, 0].astype(np.intp)]
        + index[:, 1:2] * stack.row_spacing_mm * stack.column_cosines
        + index[:, 2:3] * stack.column_spacing_mm * stack.row_cosines
    )


def stack_from(datasets: Sequence[Dataset]) -> Stack:
    """Geometry of the datasets."""
    return stack_of([SliceHeader.of(header_of(ds)) for ds in datasets])


def write_series(folder: Path, datasets: Sequence[Dataset]) -> list[Path]:
    """Write each dataset as a DICOM file; names carry no order of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{derived_uid(ds.SOPInstanceUID)}.dcm" for ds in datasets]
    for path, ds in zip(paths, datasets, strict=True):
        ds.save_as(path, enforce_file_format=True)
    return paths


def volume_of(datasets: Sequence[Dataset]) -> Volume:
    """The volume of datasets with pixels, by way of files."""
    with tempfile.TemporaryDirectory() as folder:
        return read_volume(write_series(Path(folder), datasets))


def head_hu(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """HU of a plain head around (0, 0, 72): skull ellipsoid of 70, 85 and 75 mm, 6 mm thick, brain of 32 HU, air."""
    scaled = (points - (0.0, 0.0, 72.0)) / (70.0, 85.0, 75.0)
    radius = np.linalg.norm(scaled, axis=1)
    return np.select([radius < 0.92, radius < 1.0], [32.0, 1000.0], -1000.0)


def _slice(name: str, index: int, matrix: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CT_IMAGE
    ds.file_meta.MediaStorageSOPInstanceUID = derived_uid("instance", name, str(index))
    ds.SOPClassUID = CT_IMAGE
    ds.SOPInstanceUID = derived_uid("instance", name, str(index))
    ds.StudyInstanceUID = derived_uid("study")
    ds.SeriesInstanceUID = derived_uid("series", name)
    ds.FrameOfReferenceUID = derived_uid("frame")
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Test^Head", "T1", "", ""
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.ReferringPhysicianName = "20260101", "100000", "A1", ""
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", 2, index + 1
    ds.Rows = ds.Columns = matrix
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
    return ds


def _set(ds: Dataset, index: int, attributes: dict[str, Any]) -> None:
    for keyword, value in attributes.items():
        chosen = value(index) if callable(value) else value
        if chosen is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, chosen)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID


def _fill(ds: Dataset, hu: float | Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
    """Pixels for ``hu`` as stored values of 16 bits."""
    values = hu(_voxels(ds)).reshape(ds.Rows, ds.Columns) if callable(hu) else np.full((ds.Rows, ds.Columns), hu)
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", -1024))
    stored = np.rint((values - intercept) / slope)
    ds.PixelData = stored.astype("<i2" if ds.PixelRepresentation else "<u2").tobytes()
    ds["PixelData"].VR = "OW"


def _voxels(ds: Dataset) -> NDArray[np.float64]:
    """(rows x columns, 3) patient coordinates of one slice, row by row."""
    position, cosines = np.array(ds.ImagePositionPatient, float), np.array(ds.ImageOrientationPatient, float)
    row, column = np.mgrid[0 : ds.Rows, 0 : ds.Columns].reshape(2, -1, 1)
    return np.asarray(
        position + column * float(ds.PixelSpacing[1]) * cosines[:3] + row * float(ds.PixelSpacing[0]) * cosines[3:]
    )


def voxel_points(stack: Stack) -> NDArray[np.float64]:
    """(slices, rows, columns, 3) patient coordinates of every voxel."""
    shape = (len(stack.order), stack.rows, stack.columns)
    indices = np.indices(shape).reshape(3, -1).T
    return points_of(stack, indices).reshape(*shape, 3)

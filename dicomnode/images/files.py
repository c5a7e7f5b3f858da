"""Files -> one CT volume: a folder or a list of DICOM files, or a NIfTI file.

NIfTI counts toward right, front and crown (RAS); here all is DICOM's left, back and crown (LPS).
References: DICOM PS3.3 C.7.6.2.1.1; NIfTI-1.1, qform and sform.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom.misc
from numpy.typing import NDArray

from dicomnode.dicom.geometry import stack_of
from dicomnode.errors import NodeError
from dicomnode.images.volume import read_volume
from dicomnode.records import Volume

NIFTI = (".nii", ".nii.gz")
LPS = ("L", "P", "S")


class ReadError(NodeError):
    """A file or folder cannot be read as an image, or a mask does not fit its image."""


@dataclass(frozen=True, slots=True)
class _Plane:
    position_mm: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    rows: int | None
    columns: int | None


def is_nifti(path: Path) -> bool:
    """Whether the name of a file is that of a NIfTI file."""
    return path.name.lower().endswith(NIFTI)


def dicom_files(path: Path) -> list[Path]:
    """The DICOM files of a folder, or those that a text file lists, one path a line relative to it."""
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.is_file() and file.name != "DICOMDIR")
        return [file for file in found if pydicom.misc.is_dicom(file)]
    return [path.parent / line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_image(path: Path) -> Volume:
    """One CT volume in HU.

    Raises
    ------
    ReadError : no DICOM or NIfTI file that can be read.
    SeriesError : the slices are at fault; see :func:`dicomnode.images.volume.read_volume`.
    """
    if is_nifti(path):
        return nifti_volume(path)
    try:
        files = dicom_files(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"{path.name} is no folder, no list of files and no NIfTI file: {error}") from error
    if not files:
        raise ReadError(f"{path.name} holds no DICOM file")
    return read_volume(files)


def _nifti(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(slices, rows, columns) values in LPS order, and the affine of (column, row, slice) to LPS millimetres."""
    try:
        # of an extra, and the node itself reads DICOM only
        import nibabel
        from nibabel.filebasedimages import ImageFileError
    except ImportError as error:
        raise ReadError(f"{path.name}: NIfTI files need nibabel (pip install 'dicomnode[train]')") from error
    try:
        image = nibabel.load(path)
        if len(image.shape) != 3:
            raise ReadError(f"{path.name} has {len(image.shape)} dimensions, not 3")
        wanted = nibabel.orientations.axcodes2ornt(LPS)
        turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted))
        values = np.asarray(turned.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        raise ReadError(f"{path.name} is no NIfTI file that can be read: {error}") from error
    return np.ascontiguousarray(values.transpose(2, 1, 0)), np.diag([-1.0, -1.0, 1.0, 1.0]) @ turned.affine


def nifti_volume(path: Path) -> Volume:
    """The values of a NIfTI file as a volume, whatever they mean.

    Raises
    ------
    ReadError : it cannot be read, or nibabel is not installed.
    SeriesError : its affine describes no stack of slices.
    """
    hu, affine = _nifti(path)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = tuple(float(c) for c in np.concatenate([affine[:3, 0] / spacing[0], affine[:3, 1] / spacing[1]]))
    positions = [affine[:3, 3] + k * affine[:3, 2] for k in range(len(hu))]
    rows, columns = hu.shape[1:]
    planes = [
        _Plane((float(p[0]), float(p[1]), float(p[2])), cosines, (float(spacing[1]), float(spacing[0])), rows, columns)
        for p in positions
    ]
    stack = stack_of(planes)
    return Volume(hu[list(stack.order)], stack, tuple(f"{path.name}#{k}" for k in stack.order))

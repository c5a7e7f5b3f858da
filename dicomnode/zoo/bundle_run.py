"""The two ends of ``python -m monai.bundle run`` for this project's bundles: a CT is read, masks are written.

Named in ``configs/inference.json`` of a bundle. They need nibabel (extra ``[train]``), as MONAI's own readers do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from nibabel import orientations
from numpy.typing import NDArray

from dicomnode.dicom.contexts import CT_IMAGE
from dicomnode.dicom.geometry import SPACING_TOLERANCE_MM, even_affine
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.dicom.received import BAD_FILE
from dicomnode.errors import InconsistentGeometry, Refusal
from dicomnode.images.files import ReadError, is_nifti, read_image
from dicomnode.images.volume import read_volume
from dicomnode.records import Stack, Volume
from dicomnode.zoo.bundle import load_manifest, require_fit

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class LoadVolumed:
    """Dictionary transform: ``path`` (a NIfTI file or a folder with DICOM files) -> ``volume``.

    Parameters
    ----------
    bundle : folder of the bundle; what lies outside the limits of its manifest is refused, as in the node.
    """

    def __init__(self, bundle: str | Path) -> None:
        self.bundle = Path(bundle)
        set_up_pydicom()

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Reads the image, and refuses one whose mask could not be kept.

        Raises
        ------
        ReadError : no file that can be read, or a folder with several CT series.
        SeriesError : the slices are at fault, or no single affine describes them, so that no NIfTI could hold the mask.
        BundleError : the bundle's manifest is at fault.
        """
        path = Path(data["path"])
        volume = self._read(path)
        affine_of(volume.stack)
        require_fit(load_manifest(self.bundle), volume.stack)
        return {**data, "volume": volume}

    @staticmethod
    def _read(path: Path) -> Volume:
        if is_nifti(path) or not path.is_dir():
            return read_image(path)
        return read_volume(only_ct_series(path))


class SaveMasksd:
    """Dictionary transform: ``pred`` (outputs, slices, rows, columns) -> one NIfTI mask per output of the bundle.

    Parameters
    ----------
    bundle : folder of the bundle; its manifest has names and thresholds.
    output_dir : made where it is missing; files are called ``<input>_<output>.nii.gz``.
    """

    def __init__(self, bundle: str | Path, output_dir: str | Path) -> None:
        self.bundle, self.output_dir = Path(bundle), Path(output_dir)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds ``saved``: a sentence per file. A NIfTI input gets a mask with its own shape and affine."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        path, stack = Path(data["path"]), data["volume"].stack
        stem = path.absolute().name.removesuffix(".gz").removesuffix(".nii")
        saved = []
        outputs = load_manifest(self.bundle).masks
        # a network may learn more than its bundle gives out: the manifest names the first channels
        for values, output in zip(data["pred"][: len(outputs)], outputs, strict=True):
            mask = values > output.threshold
            target = self.output_dir / f"{stem}_{output.name}.nii.gz"
            nibabel.save(_as_stored(mask_image(mask, stack), path), target)
            saved.append(f"{target}: {stack.volume_ml(mask):.2f} mL")
        return {**data, "saved": saved}


def only_ct_series(folder: Path) -> list[Path]:
    """The files of the CT series below a folder; a folder from a CD holds much beside them.

    Raises
    ------
    ReadError : there is none, or there are several: which of them to take is the node's knowledge.
    """
    series = _ct_series(folder)
    if not series:
        raise ReadError(f"{folder.name} holds no CT image")
    if len(series) > 1:
        named = ", ".join(f"{uid} ({len(paths)} images)" for uid, paths in series.items())
        raise ReadError(
            f"{folder.name} holds {len(series)} CT series: {named}; keep one of them in a folder of its own, or let "
            "'dicomnode process' choose"
        )
    return next(iter(series.values()))


def _ct_series(folder: Path) -> dict[str, list[Path]]:
    """Series instance UID -> its CT images."""
    series: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            ds = pydicom.dcmread(path, specific_tags=["SOPClassUID", "SeriesInstanceUID"])
        except BAD_FILE:
            continue
        if ds.get("SOPClassUID") == CT_IMAGE:
            series[str(ds.get("SeriesInstanceUID"))].append(path)
    return series


def affine_of(stack: Stack) -> NDArray[np.float64]:
    """(4, 4) index (column, row, slice, 1) to (x, y, z, 1) in RAS millimetres; a tilted stack has a sheared one.

    Raises
    ------
    InconsistentGeometry : ``UNEVEN_STACK``.
    """
    affine, off_mm = even_affine(stack)
    if off_mm > SPACING_TOLERANCE_MM:
        detail = f"{off_mm:.2f} mm off; a NIfTI cannot hold its mask, 'dicomnode process' writes a SEG instead"
        raise InconsistentGeometry(Refusal.UNEVEN_STACK, detail)
    return LPS_TO_RAS @ affine


def mask_image(mask: NDArray[np.bool_], stack: Stack) -> Any:
    """NIfTI image (columns, rows, slices) of a mask (slices, rows, columns)."""
    image = nibabel.Nifti1Image(np.ascontiguousarray(mask.transpose(2, 1, 0)).astype(np.uint8), affine_of(stack))
    image.header.set_xyzt_units("mm")
    return image


def _as_stored(image: Any, path: Path) -> Any:
    """The image with the axes in the order and direction of the NIfTI file at ``path``."""
    if not is_nifti(path):
        return image
    wanted = nibabel.io_orientation(nibabel.load(path).affine)
    turn = orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted)
    return image.as_reoriented(turn)

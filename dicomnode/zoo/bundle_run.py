"""The two ends of ``python -m monai.bundle run`` for this project's bundles: a CT is read, masks are written.

Named in ``configs/inference.json`` of a bundle. They need nibabel (extra ``[train]``), as MONAI's own readers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from dicomnode.app.folder import choose_series
from dicomnode.config.whole import built_in_config
from dicomnode.dicom.geometry import SPACING_TOLERANCE_MM, even_affine
from dicomnode.errors import InconsistentGeometry, Refusal
from dicomnode.images.files import is_nifti, read_image
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

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Of several series in a folder, the one that the node would take.

        Raises
        ------
        ReadError : no file that can be read.
        SeriesError : no series can be processed, or no single affine describes its slices, so that no NIfTI could
            hold the mask.
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
        return read_volume(choose_series(path, built_in_config().protocol[0]).paths)


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
        outputs = load_manifest(self.bundle).outputs
        # a network may learn more than its bundle gives out: the manifest names the first channels
        for values, output in zip(data["pred"][: len(outputs)], outputs, strict=True):
            mask = values > output.threshold
            target = self.output_dir / f"{stem}_{output.name}.nii.gz"
            nibabel.save(_as_stored(mask_image(mask, stack), path), target)
            saved.append(f"{target}: {stack.volume_ml(mask):.2f} mL")
        return {**data, "saved": saved}


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

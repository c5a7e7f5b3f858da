"""Reads the masks that a manifest names: NIfTI, or the cohort's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dicomnode.images.files import ReadError, is_nifti, nifti_volume
from dicomnode.records import Volume
from dicomnode.train.manifest import MaskFile
from dicomnode.zoo.orientation import orientation_of

DENSE_MASK = "dense_not_blood"
"""Name of the mask of calcium and contrast medium: what shows as bright as blood, and is none."""


def read_mask(mask: MaskFile, volume: Volume) -> NDArray[np.bool_]:
    """A mask on the grid of its image, in canonical order.

    Parameters
    ----------
    mask : NIfTI; or the cohort's ``.npz`` with ``mask`` and, where values are asked for, ``findings``: (slices, rows,
        columns) in the order of the image's file names.

    Returns
    -------
    (slices, rows, columns) bool in the canonical orientation of the image.

    Raises
    ------
    ReadError : it cannot be read or has another size than the image.
    """
    if is_nifti(mask.path):
        painted = nifti_volume(mask.path)
        values = orientation_of(painted.stack).to_canonical(painted.hu)
    else:
        stored = _stored(mask.path, "findings" if mask.values else "mask", volume.stack.order)
        values = orientation_of(volume.stack).to_canonical(stored)
    wanted = orientation_of(volume.stack).to_canonical(volume.hu).shape
    if values.shape != wanted:
        raise ReadError(f"mask {mask.path.name} is {_size(values.shape)}, its image {_size(wanted)}")
    return np.isin(values, mask.values) if mask.values else np.asarray(values > 0)


def _stored(path: Path, name: str, order: Sequence[int]) -> NDArray[np.float32]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = np.asarray(stored[name], dtype=np.float32)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ReadError(f"mask {path.name} cannot be read: {error}") from error
    if values.ndim != 3 or len(values) != len(order):
        raise ReadError(f"mask {path.name} is {_size(values.shape)}, its image has {len(order)} slices")
    return np.asarray(values[list(order)])


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(count) for count in shape)

"""An exam of a manifest as the planes that a slice-wise model reads, with its truth; kept on disk between epochs.

The way from scan to plane is that of the runner (``zoo.planes``), so that training and inference see the same.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.images.files import read_image
from dicomnode.records import Volume
from dicomnode.train.manifest import Case
from dicomnode.train.masks import read_mask
from dicomnode.train.samples import digest_of, gathered, image_of, stamp_of
from dicomnode.zoo.calibration import brain_offset_hu
from dicomnode.zoo.head_check import brain_mask, interior_mask
from dicomnode.zoo.orientation import orientation_of
from dicomnode.zoo.planes import AIR_HU, PlaneGrid, neighbour_weights, plane_grid, to_planes

UNKNOWN = -1
"""Truth of a pixel of which nothing is known; the loss passes over it."""
VERSION = 4
"""Of what lies in the cache; to be raised when the way to the planes changes."""


@dataclass(frozen=True, slots=True)
class Planes:
    """Size of the planes and what is to be learned on them.

    Attributes
    ----------
    findings : names of masks, in the order of the network's outputs.
    reference_hu : where the brain of every exam is moved to, see :mod:`dicomnode.zoo.calibration`; None moves nothing.
    """

    size: int
    pixel_mm: float
    findings: tuple[str, ...]
    reference_hu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One exam on planes; the arrays are memory-mapped.

    Attributes
    ----------
    hu : (slices, size, size) int16, canonical order (toward the crown).
    truth : (slices, findings, size, size) int8: 1, 0 or ``UNKNOWN``.
    offsets_mm : (slices,) along the upward normal.
    pixel_ml : (slices,) volume of a plane pixel.
    inside : (slices, size, size) the interior of the skull, to which marks are confined as in the node; None confines
        nothing.
    """

    case: Case
    hu: NDArray[np.int16]
    truth: NDArray[np.int8]
    offsets_mm: NDArray[np.float64]
    pixel_ml: NDArray[np.float64]
    inside: NDArray[np.bool_] | None = None

    def around(self, index: int) -> torch.Tensor:
        """(3, size, size) float32 HU: the slice below, the slice itself, the slice above."""
        return self._weighed(index, lambda slices: self.hu[slices])

    def shown_around(self, index: int) -> torch.Tensor:
        """(3, size, size) float32, 0 to 1: where the slice and its neighbours show the first finding."""
        return self._weighed(index, lambda slices: self.truth[slices, 0] == 1)

    def _weighed(self, index: int, read: Callable[[NDArray[np.intp]], NDArray[Any]]) -> torch.Tensor:
        """(3, size, size) of what is read of those slices alone that count."""
        weights = neighbour_weights(self.offsets_mm)[:, index]
        used = np.flatnonzero(weights.any(axis=0))
        values = torch.from_numpy(read(used).astype(np.float32))
        return torch.einsum("cj,jhw->chw", torch.from_numpy(weights[:, used]), values)

    def known(self, index: int = 0) -> bool:
        """Is the truth of a finding known everywhere?"""
        return bool((self.truth[:, index] != UNKNOWN).all())


def load_exams(
    cases: Sequence[Case], planes: Planes, cache: Path, *, skip_unusable: bool = False, progress: bool = True
) -> tuple[list[Exam], list[str]]:
    """Read every exam, or take it from the cache.

    Parameters
    ----------
    cache : folder; its file names hold digests only.
    skip_unusable : leave out what cannot be used instead of refusing all.

    Returns
    -------
    The exams, and a sentence for each that was left out.

    Raises
    ------
    ManifestError : exams cannot be used (no head, no geometry, mask of another size, ...), all of them listed.
    """

    def read(case: Case) -> Exam:
        return _cached(case, planes, cache)

    return gathered(cases, read, skip_unusable=skip_unusable, progress=progress)


def _cached(case: Case, planes: Planes, cache: Path) -> Exam:
    folder = cache / _digest(case, planes)
    if not folder.exists():
        exam = make_exam(case, planes)
        part = folder.with_suffix(f".{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name in ("hu", "truth", "offsets_mm", "pixel_ml", "inside"):
            np.save(part / f"{name}.npy", getattr(exam, name))
        _into_place(part, folder)
    hu, truth, inside = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("hu", "truth", "inside"))
    return Exam(
        case=case,
        hu=hu,
        truth=truth,
        offsets_mm=np.load(folder / "offsets_mm.npy"),
        pixel_ml=np.load(folder / "pixel_ml.npy"),
        inside=inside,
    )


def _into_place(part: Path, folder: Path) -> None:
    """Trainings that share a cache may read the same exam at once: the first one's planes stay."""
    try:
        part.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(part)


def _digest(case: Case, planes: Planes) -> str:
    """Of all that shapes the planes: files with size and time, findings, labels that stand for an empty mask."""
    files = [image_of(case), *(case.masks[name].path for name in planes.findings if name in case.masks)]
    stamps = [stamp_of(path) for path in files]
    values = [case.masks[name].values if name in case.masks else None for name in planes.findings]
    empty = [case.labels.get(name) == 0 for name in planes.findings]
    return digest_of(
        [VERSION, planes.size, planes.pixel_mm, planes.findings, planes.reference_hu, stamps, values, empty]
    )


def make_exam(case: Case, planes: Planes) -> Exam:
    """Read one exam.

    Raises
    ------
    ReadError : a file cannot be read, or a mask does not fit the image.
    SeriesError : the image is no head CT.
    """
    volume = read_image(image_of(case))
    orientation = orientation_of(volume.stack)
    grid = plane_grid(volume, brain_mask(volume), planes.size, planes.pixel_mm)
    cut = to_planes(volume, grid)
    if planes.reference_hu is not None:
        cut = cut - brain_offset_hu(cut.numpy(), planes.reference_hu)
    hu = cut.round().clamp(-1024, 3071).numpy().astype(np.int16)
    truth = _truth(case, planes, volume, grid, len(hu))
    weights = volume.stack.weights_mm[::-1] if orientation.flip_slices else volume.stack.weights_mm
    pixel_ml = np.asarray(weights * planes.pixel_mm**2 / 1000.0)
    offsets_mm = np.asarray(orientation.offsets_mm(volume.stack))
    return Exam(
        case=case,
        hu=hu,
        truth=truth,
        offsets_mm=offsets_mm,
        pixel_ml=pixel_ml,
        inside=_on_planes(interior_mask(volume), volume, grid),
    )


def _truth(case: Case, planes: Planes, volume: Volume, grid: PlaneGrid, count: int) -> NDArray[np.int8]:
    """(count, findings, size, size): 1, 0 or ``UNKNOWN``."""
    truth = np.full((count, len(planes.findings), planes.size, planes.size), UNKNOWN, np.int8)
    for index, name in enumerate(planes.findings):
        if name in case.masks:
            mask = grid.orientation.from_canonical(read_mask(case.masks[name], volume))
            truth[:, index] = _on_planes(mask, volume, grid)
        elif case.labels.get(name) == 0:
            truth[:, index] = 0
    return truth


def _on_planes(mask: NDArray[np.bool_], volume: Volume, grid: PlaneGrid) -> NDArray[np.bool_]:
    """A mask goes the way of the image: as HU of 1 above air, so that outside is 0."""
    painted = Volume(mask.astype(np.float32) + AIR_HU, volume.stack, volume.sop_instance_uids)
    return np.asarray((to_planes(painted, grid) > AIR_HU + 0.5).numpy())

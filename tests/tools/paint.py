"""Paint a bleed into a CT series: real files with a known truth, on the series' own slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from dicomnode.dicom.headers import SliceHeader, header_of
from dicomnode.dicom.uids import derived_uid
from dicomnode.images.pixels import stored_values
from dicomnode.images.volume import read_volume
from dicomnode.records import Stack, Volume
from tests.tools.series import voxel_points

Kind = Literal["intraparenchymal", "subdural", "film", "epidural", "intraventricular", "subarachnoid"]
EXTRA_AXIAL = ("subdural", "film", "epidural")

AXES = np.array([1.0, 1.4, 1.1])
"""Semi-axes of the intraparenchymal ellipsoid along x, y and z, relative."""
CRESCENT_MM, CRESCENT_ML = 60.0, 60.0
"""A subdural of this volume tapers off at this distance from its thickest place.

Real ones of 7 to 14 mL are 31 to 63 mm high (quartiles; median 47), of 14 to 30 mL 51 to 79 (66), of 30 to 60 mL
70 to 92 (77): BHSD and Hssayeni, ``z_dist`` of every connected fragment. A reach that grows with the cube root of the
volume, 33 mm at 10 mL and 45 mm at 25 mL, keeps to the upper ends; a *film* has the reach of 60 mL at any volume.
"""
LENS = np.array([0.45, 1.0, 1.0])
"""Semi-axes of the epidural lens, relative: thin toward the brain (x), wide along the skull."""
WATER_HU, VENTRICLE_HU = 24.0, 11.0
"""Below it, after smoothing, a voxel counts as CSF; in the ventricles, which are wide, below the lower value."""
VENTRICLE_DEPTH_MM = 20.0
TEXTURE = 0.5
"""How much of the brain's own noise stays in the bleed."""


@dataclass(frozen=True)
class PaintedTruth:
    """What was painted.

    Attributes
    ----------
    mask : (slices, rows, columns) bool, in stack order.
    volume_ml : of the mask: voxels x in-plane area x slice weight.
    mean_hu : of the painted voxels as stored.
    paths, sop_instance_uids : of the written files, in stack order.
    """

    mask: NDArray[np.bool_]
    volume_ml: float
    mean_hu: float
    stack: Stack
    paths: tuple[Path, ...]
    sop_instance_uids: tuple[str, ...]
    study_uid: str
    series_uid: str


def paint_bleed(
    folder_in: Path,
    folder_out: Path,
    *,
    volume_ml: float,
    hu: float = 65.0,
    centre_mm: Sequence[float] | None = None,
    kind: Kind = "intraparenchymal",
    new_uids: bool = True,
) -> PaintedTruth:
    """Read the CT series in ``folder_in``, paint, write to ``folder_out``.

    The bleed is shaped in patient coordinates, hence right on tilted and uneven stacks, stays within the brain, and is
    sized so that its voxels come as close to ``volume_ml`` as they can. Every other element is kept; compressed files
    are written uncompressed.

    Parameters
    ----------
    centre_mm : of the intraparenchymal bleed, patient coordinates; default: 25 mm left of the middle of the brain.
    kind : an ellipsoid in the brain; a crescent, a film thinner than any such crescent, or a lens below the skull of
        the left side; blood that settles in the ventricles from the back; blood in the CSF around the left side of
        the brain.
    new_uids : derive new study, series and instance UIDs, so that the study can be stored beside the original.

    Raises
    ------
    ValueError : no brain was found, or it has no room for such a volume.
    """
    datasets = [pydicom.dcmread(path) for path in sorted(folder_in.iterdir()) if pydicom.misc.is_dicom(path)]
    volume = read_volume([Path(ds.filename) for ds in datasets])
    ordered = [datasets[index] for index in volume.stack.order]
    painted, mask = paint_volume(
        volume, room_for(volume, kind), volume_ml=volume_ml, hu=hu, centre_mm=centre_mm, kind=kind
    )
    folder_out.mkdir(parents=True, exist_ok=True)
    salt = f"{kind} {volume_ml} {hu} {centre_mm}" if new_uids else None
    paths = tuple(_write(ds, painted[i], mask[i], folder_out / f"{i:04}.dcm", salt) for i, ds in enumerate(ordered))
    return PaintedTruth(
        mask=mask,
        volume_ml=volume.stack.volume_ml(mask),
        mean_hu=float(read_volume(paths).hu[mask].mean()),
        stack=volume.stack,
        paths=paths,
        sop_instance_uids=tuple(str(ds.SOPInstanceUID) for ds in ordered),
        study_uid=str(ordered[0].StudyInstanceUID),
        series_uid=str(ordered[0].SeriesInstanceUID),
    )


def paint_volume(
    volume: Volume,
    brain: NDArray[np.bool_],
    *,
    volume_ml: float,
    hu: float = 65.0,
    centre_mm: Sequence[float] | None = None,
    kind: Kind = "intraparenchymal",
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """HU with a bleed and its mask, (slices, rows, columns) in stack order; see :func:`paint_bleed`.

    Parameters
    ----------
    brain : of :func:`room_for`.
    """
    stack = volume.stack
    if kind == "intraparenchymal":
        field = _ellipsoid(stack, brain, centre_mm)
    elif kind in ("subdural", "film"):
        like_ml = volume_ml if kind == "subdural" else CRESCENT_ML
        field = _crescent(stack, brain, CRESCENT_MM * (like_ml / CRESCENT_ML) ** (1.0 / 3.0))
    elif kind == "epidural":
        field = _lens(stack, brain)
    else:
        field = _in_csf(volume, brain, kind)
    mask = _grown_to(field, brain, stack, volume_ml)
    return _painted(volume.hu, mask, hu), mask


def room_for(volume: Volume, kind: Kind) -> NDArray[np.bool_]:
    """Where a bleed of this kind may lie: extra-axial blood reaches the bone, other blood keeps off it."""
    return brain_mask(volume, margin_mm=0.5 if kind in EXTRA_AXIAL else 3.0)


def brain_mask(volume: Volume, margin_mm: float = 3.0) -> NDArray[np.bool_]:
    """(slices, rows, columns) roughly what has brain values within a closed ring of bone, some mm off the bone."""
    bone = volume.hu > 250
    inside = np.stack([ndimage.binary_fill_holes(plane) for plane in bone]) & ~bone
    tissue = inside & (volume.hu > -10) & (volume.hu < 100)
    margin = max(1, round(margin_mm / volume.stack.row_spacing_mm))
    tissue = np.stack([ndimage.binary_erosion(plane, iterations=margin) for plane in tissue])
    labels, count = ndimage.label(tissue)
    if count == 0:
        raise ValueError("no brain within a skull")
    largest = 1 + int(np.argmax(ndimage.sum_labels(tissue, labels, range(1, count + 1))))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in labels == largest]) & tissue


def _ellipsoid(stack: Stack, brain: NDArray[np.bool_], centre_mm: Sequence[float] | None) -> NDArray[np.float64]:
    """Relative distance from the centre of each voxel; the surface of an ellipsoid has one value."""
    points = voxel_points(stack)
    if centre_mm is None:
        widest = int(np.argmax(brain.sum(axis=(1, 2))))
        target = points[widest][brain[widest]].mean(axis=0) + np.array([25.0, 0.0, 0.0])
        candidates = points[widest][brain[widest]]
        centre_mm = candidates[np.argmin(np.linalg.norm(candidates - target, axis=1))]
    return np.asarray(np.linalg.norm((points - np.asarray(centre_mm)) / AXES, axis=-1))


def _crescent(stack: Stack, brain: NDArray[np.bool_], reach_mm: float) -> NDArray[np.float64]:
    """Depth below the surface of the brain in mm over the thickness of a crescent there; elsewhere out of reach.

    The crescent is thickest at the left side and tapers off ``reach_mm`` around it.
    """
    sampling = (stack.row_spacing_mm, stack.column_spacing_mm)
    # Holes are calcifications of the plexus, no surface.
    filled = [ndimage.binary_fill_holes(plane) for plane in brain]
    depth = np.stack([ndimage.distance_transform_edt(plane, sampling=sampling) for plane in filled])
    points = voxel_points(stack)
    middle = points[brain].mean(axis=0)
    level = points[brain & (np.abs(points - middle)[..., 1:] < 4.0).all(axis=-1)]
    thickest = level[np.argmax(level[:, 0])] + np.array([0.0, 0.0, 15.0])
    profile = 1.0 - (np.linalg.norm(points - thickest, axis=-1) / reach_mm) ** 2
    return np.where(profile > 0.0, depth / np.maximum(profile, 1e-6), np.inf)


def _lens(stack: Stack, brain: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Relative distance from a point of the left surface, at the level where the brain is widest."""
    points = voxel_points(stack)
    widest = int(np.argmax(brain.sum(axis=(1, 2))))
    inside = points[widest][brain[widest]]
    level = inside[np.abs(inside[:, 1] - inside[:, 1].mean()) < 2.0]
    return np.asarray(np.linalg.norm((points - level[np.argmax(level[:, 0])]) / LENS, axis=-1))


def _in_csf(volume: Volume, brain: NDArray[np.bool_], kind: Kind) -> NDArray[np.float64]:
    """Ventricles: the further back the earlier; around the brain: distance from its left side. Elsewhere infinite."""
    stack, points = volume.stack, voxel_points(volume.stack)
    sampling = (stack.row_spacing_mm, stack.column_spacing_mm)
    smooth = ndimage.gaussian_filter(volume.hu, (0.0, 0.8 / sampling[0], 0.8 / sampling[1]))
    filled = [ndimage.binary_fill_holes(plane) for plane in brain]
    depth = np.stack([ndimage.distance_transform_edt(plane, sampling=sampling) for plane in filled])
    labels, count = ndimage.label(brain & (smooth < VENTRICLE_HU) & (depth > VENTRICLE_DEPTH_MM))
    sizes = ndimage.sum_labels(labels > 0, labels, range(1, count + 1))
    ventricles = labels == 1 + int(np.argmax(sizes))
    if kind == "intraventricular":
        return np.where(ventricles, -points[..., 1], np.inf)
    left = points[brain].mean(axis=0) + np.array([55.0, 0.0, 0.0])
    around = brain & (smooth < WATER_HU) & ~ndimage.binary_dilation(ventricles, iterations=3)
    return np.where(around & (depth < 2 * VENTRICLE_DEPTH_MM), np.linalg.norm(points - left, axis=-1), np.inf)


def _grown_to(
    field: NDArray[np.float64], brain: NDArray[np.bool_], stack: Stack, volume_ml: float
) -> NDArray[np.bool_]:
    """The brain's voxels of least field value, as many as make up the volume."""
    candidates = np.flatnonzero(brain & np.isfinite(field))
    ordered = candidates[np.argsort(field.ravel()[candidates], kind="stable")]
    weights_ml = stack.voxel_ml[ordered // (stack.rows * stack.columns)]
    filled_ml = np.cumsum(weights_ml)
    if filled_ml.size == 0 or filled_ml[-1] < volume_ml:
        raise ValueError(f"no room for {volume_ml} mL")
    mask = np.zeros(field.size, dtype=np.bool_)
    mask[ordered[: 1 + int(np.argmin(np.abs(filled_ml - volume_ml)))]] = True
    return mask.reshape(field.shape)


def _painted(hu: NDArray[np.float32], mask: NDArray[np.bool_], bleed_hu: float) -> NDArray[np.float32]:
    """The bleed at ``bleed_hu`` on average, over what is left of the brain's texture."""
    painted = hu.copy()
    texture = hu[mask] - hu[mask].mean()
    painted[mask] = bleed_hu + TEXTURE * texture
    return painted


def _write(ds: Dataset, hu: NDArray[np.float32], mask: NDArray[np.bool_], path: Path, salt: str | None) -> Path:
    """Write one slice; only the masked pixels and, with a salt, the UIDs differ from ``ds``."""
    if mask.any():
        slope, intercept = SliceHeader.of(header_of(ds)).rescale or (1.0, 0.0)
        stored = stored_values(ds)
        stored[mask] = np.rint((hu[mask] - intercept) / slope)
        _replace_pixels(ds, stored)
    if salt is not None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(ds, keyword, derived_uid("painted", salt, str(ds[keyword].value)))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)
    return path


def _replace_pixels(ds: Dataset, stored: NDArray[np.int32]) -> None:
    """Uncompressed pixels of the same width and signedness; unused high bits are left empty or extend the sign."""
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        ds.decompress(generate_instance_uid=False)
    ds.PixelData = stored.astype(f"<{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}").tobytes()

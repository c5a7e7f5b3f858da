"""A head CT without blood, as the ground that bleeds are painted on: where its brain, its table and its fluid are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicomnode.measure.anatomy.sampling import voxel_points_mm
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.records import Volume
from dicomnode.zoo.head_check import brain_mask

FLUID_SMOOTH_MM = 0.8
FLUID_BELOW_BRAIN_HU = (4.0, 19.0)
"""As far below the brain tissue begins to be fluid, and is nothing else."""
VENTRICLE_DEPTH_MM = 22.0
SURELY_FLUID = 0.85
BEND_MM, BEND_WAVE_MM = 2.5, 25.0
STRETCH = 0.06

IN_PLANE = np.ones((1, 3, 3), np.bool_)

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A head to be painted on; all arrays (slices, rows, columns) in stack order.

    Attributes
    ----------
    brain : the space within the skull.
    depth_mm : within it, distance to its edge in the plane of the slice; 0 outside.
    fluid : share of a voxel that is fluid, 0 to 1.
    ventricles : fluid far from the edge.
    points_mm : (..., 3) patient coordinates.
    brain_hu : the commonest attenuation of its tissue.
    """

    volume: Volume
    brain: Mask
    depth_mm: Field
    fluid: Field
    ventricles: Mask
    points_mm: Field
    brain_hu: float


def ground_of(volume: Volume) -> Ground:
    """Find brain and fluid.

    Raises
    ------
    SeriesError : ``NOT_A_HEAD``, ``NOT_AXIAL``.
    """
    stack = volume.stack
    sampling = (stack.row_spacing_mm, stack.column_spacing_mm)
    brain = np.stack([ndimage.binary_fill_holes(plane) for plane in brain_mask(volume)])
    depth = np.stack([ndimage.distance_transform_edt(plane, sampling=sampling) for plane in brain])
    brain_hu = commonest_soft_tissue_hu(volume.hu[brain]) or 0.0
    smooth = ndimage.gaussian_filter(volume.hu, (0.0, *(FLUID_SMOOTH_MM / edge for edge in sampling)))
    near, far = FLUID_BELOW_BRAIN_HU
    fluid = np.clip((brain_hu - near - smooth) / (far - near), 0.0, 1.0) * brain
    index = np.indices(volume.hu.shape).reshape(3, -1).T
    points = voxel_points_mm(stack, index.astype(np.intp)).reshape(*volume.hu.shape, 3)
    return Ground(
        volume=volume,
        brain=brain,
        depth_mm=depth.astype(np.float32),
        fluid=fluid.astype(np.float32),
        ventricles=_largest(ndimage.binary_opening((fluid > SURELY_FLUID) & (depth > VENTRICLE_DEPTH_MM), IN_PLANE)),
        points_mm=points.astype(np.float32),
        brain_hu=float(brain_hu),
    )


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
    return np.asarray(labels == 1 + int(np.argmax(sizes))) if count else mask


def bent(volume: Volume, rng: np.random.Generator) -> Volume:
    """The same head as another's: mirrored half of the time, stretched and bent within its slices, all slices alike."""
    stack = volume.stack
    rows, columns = volume.hu.shape[1:]
    y, x = (np.arange(size) - (size - 1) / 2 for size in (rows, columns))
    factors = rng.uniform(1.0 - STRETCH, 1.0 + STRETCH, 2)
    moved = np.stack(np.meshgrid(y * factors[0], x * factors[1], indexing="ij"))
    for axis, edge_mm in enumerate((stack.row_spacing_mm, stack.column_spacing_mm)):
        wave = ndimage.gaussian_filter(rng.standard_normal((rows, columns)), BEND_WAVE_MM / edge_mm)
        moved[axis] += wave / wave.std() * BEND_MM / edge_mm
    index = moved + np.array([(rows - 1) / 2, (columns - 1) / 2])[:, None, None]
    hu = volume.hu[:, :, ::-1] if rng.uniform() < 0.5 else volume.hu
    drawn = np.stack([ndimage.map_coordinates(plane, index, order=1, mode="nearest") for plane in hu])
    return replace(volume, hu=drawn.astype(np.float32))

"""The synthetic scanner: a head becomes slices with tilt, thickness, blur, noise and a calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dicomnode.cohort.canvas import AIR_HU
from dicomnode.cohort.fields import Field
from dicomnode.cohort.head import SyntheticHead
from dicomnode.cohort.streams import stream

BONY_HU = 110.0
"""A voxel that is brighter shows bone, whatever blood it holds: no reader would mark it."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Reconstruction kernel: blur (SD in mm), edge enhancement and noise relative to a standard kernel."""

    blur_mm: float
    sharpen: float
    noise: float


KERNELS: dict[str, Kernel] = {
    "SOFT": Kernel(0.8, 0.0, 0.75),
    "STANDARD": Kernel(0.55, 0.0, 1.0),
    "BONE": Kernel(0.35, 1.2, 3.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How a head is scanned and reconstructed.

    Attributes
    ----------
    positions_mm : z of the middle of each slice on the table axis, at least two, any spacing, any order.
    thickness_mm : of the slab that each slice averages.
    tilt_deg : gantry tilt; rows run along (0, cos, -sin) while the table moves along z, hence a sheared stack.
    matrix : rows and columns.
    centre_mm : (x, y) of the reconstruction centre in the gantry plane.
    noise_hu : SD of the noise at 5 mm and the standard kernel.
    hu_offset : calibration error.
    holder : whether a head holder is in the picture.
    """

    positions_mm: tuple[float, ...]
    thickness_mm: float = 5.0
    tilt_deg: float = 0.0
    matrix: int = 512
    pixel_mm: float = 0.45
    centre_mm: tuple[float, float] = (0.0, 0.0)
    kernel: str = "STANDARD"
    noise_hu: float = 3.0
    hu_offset: float = 0.0
    holder: bool = True


@dataclass(frozen=True, kw_only=True)
class AcquiredSeries:
    """Slices and their geometry, in the order of ``acquisition.positions_mm``.

    Attributes
    ----------
    hu : (slices, rows, columns) float32.
    mask : (slices, rows, columns) bool: blood fills more than half of the voxel, and bone does not outshine it.
    image_positions_mm : (slices, 3) ImagePositionPatient.
    image_orientation : (6,) ImageOrientationPatient.
    volume_ml : of the mask, by voxels x area x slice weight (half the distance along the normal to each neighbour).
    """

    acquisition: Acquisition
    hu: Field
    mask: NDArray[np.bool_]
    image_positions_mm: NDArray[np.float64]
    image_orientation: tuple[float, ...]
    volume_ml: float


def slice_weights_mm(positions_mm: tuple[float, ...], tilt_deg: float) -> NDArray[np.float64]:
    """(slices,) half the distance to each neighbour; an end slice the distance to its only one."""
    order = np.argsort(positions_mm)
    gaps = np.diff(np.asarray(positions_mm)[order]) * np.cos(np.deg2rad(tilt_deg))
    sorted_weights = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2
    weights = np.empty(len(positions_mm), np.float64)
    weights[order] = sorted_weights
    return weights


def _linear_weights(coordinates: Field, count: int) -> Field:
    """(samples, count) linear interpolation weights; zero outside."""
    weights = np.zeros((coordinates.size, count), np.float32)
    low = np.floor(coordinates).astype(int)
    for shift in (0, 1):
        index = low + shift
        share = 1.0 - np.abs(coordinates - index)
        good = (index >= 0) & (index < count)
        weights[np.flatnonzero(good), index[good]] += share[good]
    return weights


class SlabSampler:
    """Slab-averaging sampler for planes that contain the x axis."""

    def __init__(self, head: SyntheticHead, acquisition: Acquisition) -> None:
        self.head, self.acquisition = head, acquisition
        tilt = np.deg2rad(acquisition.tilt_deg)
        self.cos, self.sin = float(np.cos(tilt)), float(np.sin(tilt))
        line = (np.arange(acquisition.matrix) - (acquisition.matrix - 1) / 2) * acquisition.pixel_mm
        self.across, self.down = line + acquisition.centre_mm[0], line + acquisition.centre_mm[1]
        coordinates = (self.across - head.origin_mm[2]) / head.spacing_mm[2]
        self.columns = _linear_weights(coordinates, head.hu.shape[2]).T.copy()
        steps = max(1, round(acquisition.thickness_mm / head.spacing_mm[0]))
        self.steps_mm = ((np.arange(steps) + 0.5) / steps - 0.5) * acquisition.thickness_mm

    def plane(self, values: Field, position_mm: float, outside: float) -> Field:
        """(rows, columns) mean of ``values`` over the slab at one table position."""
        rows = np.zeros((self.down.size, values.shape[2]), np.float32)
        for step in self.steps_mm:
            y = (self.down * self.cos + step * self.sin - self.head.origin_mm[1]) / self.head.spacing_mm[1]
            z = (position_mm - self.down * self.sin + step * self.cos - self.head.origin_mm[0]) / self.head.spacing_mm[
                0
            ]
            rows += self._gather(values, z, y, outside)
        inside = self.columns.sum(axis=0)
        result: Field = (rows / self.steps_mm.size) @ self.columns + outside * (1.0 - inside)
        return result

    def _gather(self, values: Field, z: NDArray[np.float64], y: NDArray[np.float64], outside: float) -> Field:
        result = np.zeros((z.size, values.shape[2]), np.float32)
        rest = np.ones(z.size, np.float32)
        z_low, y_low = np.floor(z).astype(int), np.floor(y).astype(int)
        for dz in (0, 1):
            for dy in (0, 1):
                k, j = z_low + dz, y_low + dy
                share = (1.0 - np.abs(z - k)) * (1.0 - np.abs(y - j))
                good = (k >= 0) & (k < values.shape[0]) & (j >= 0) & (j < values.shape[1])
                result[good] += share[good, None].astype(np.float32) * values[k[good], j[good]]
                rest[good] -= share[good].astype(np.float32)
        return result + outside * rest[:, None]


def holder_plane(sampler: SlabSampler) -> Field:
    """(rows, columns) HU to add for a U-shaped head holder, open to the front."""
    x, y = sampler.across[None, :], (sampler.down * sampler.cos)[:, None]
    radius = np.hypot(x / 104.0, (y + 6.0) / 122.0)
    wall = np.clip(1.0 - np.abs(radius - 1.0) * 104.0 / 2.5, 0.0, 1.0)
    return np.where(y > -20.0, wall * 1400.0, 0.0).astype(np.float32)


def noise_plane(shape: tuple[int, ...], acquisition: Acquisition, rng: np.random.Generator) -> Field:
    """Noise of one slice, correlated as the kernel's blur."""
    kernel = KERNELS[acquisition.kernel]
    grain = gaussian_filter(rng.standard_normal(shape, np.float32), 0.8 * kernel.blur_mm / acquisition.pixel_mm)
    scale = acquisition.noise_hu * kernel.noise * np.sqrt(5.0 / max(acquisition.thickness_mm, 0.5))
    result: Field = grain * np.float32(scale / grain.std())
    return result


def filtered(hu: Field, acquisition: Acquisition) -> Field:
    """Blur and edge enhancement of the kernel for one slice."""
    kernel = KERNELS[acquisition.kernel]
    image: Field = gaussian_filter(hu, kernel.blur_mm / acquisition.pixel_mm)
    if kernel.sharpen:
        image += kernel.sharpen * (image - gaussian_filter(image, 1.2 / acquisition.pixel_mm))
    return image


def acquire(head: SyntheticHead, acquisition: Acquisition, seed: int = 0) -> AcquiredSeries:
    """Scan a head.

    Parameters
    ----------
    seed : of the noise; same arguments, same bytes.
    """
    sampler = SlabSampler(head, acquisition)
    planes, masks = [], []
    blood = head.mask.astype(np.float32)
    holder = holder_plane(sampler) if acquisition.holder else np.float32(0.0)
    for index, position in enumerate(acquisition.positions_mm):
        plane = filtered(sampler.plane(head.hu, position, AIR_HU) + holder, acquisition)
        grain = noise_plane(plane.shape, acquisition, stream(seed, "noise", index))
        planes.append(plane + grain + acquisition.hu_offset)
        masks.append((sampler.plane(blood, position, 0.0) > 0.5) & (plane < BONY_HU))
    positions = [
        (sampler.across[0], sampler.down[0] * sampler.cos, z - sampler.down[0] * sampler.sin)
        for z in acquisition.positions_mm
    ]
    mask = np.stack(masks)
    weights = slice_weights_mm(acquisition.positions_mm, acquisition.tilt_deg)
    volume_ml = float((mask.sum(axis=(1, 2)) * weights).sum() * acquisition.pixel_mm**2 / 1000.0)
    orientation = (1.0, 0.0, 0.0, 0.0, sampler.cos, -sampler.sin)
    return AcquiredSeries(
        acquisition=acquisition,
        hu=np.stack(planes),
        mask=mask,
        image_positions_mm=np.array(positions),
        image_orientation=orientation,
        volume_ml=volume_ml,
    )

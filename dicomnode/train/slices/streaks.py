"""What dense bone does to a slice: beam hardening and the noise of rays that hardly arrive, by projection.

A ray through much bone is hardened, and measures less than bone of its length would: projected back, that is a dark
band between the petrous bones and a bright rim along the table. It is weak, too, and its noise becomes a streak along
it. Both look like blood to whoever has only seen evenly noisy slices. The slice is projected as a parallel beam,
coarsely, and the error alone is projected back.

References: Brooks and Di Chiro, Beam hardening in X-ray reconstructive tomography, Phys Med Biol 21 (1976) 390; Kak and
Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 3 (filtered back-projection).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray
from scipy.fft import irfft, rfft, rfftfreq
from scipy.sparse import csr_array

WATER_PER_MM = 0.02
"""Linear attenuation of water at some 70 keV."""
BONE_HU = 120.0
MOST_LOSS = 7.0
"""Attenuation (natural logarithm) beyond which noise does not rise: scanners raise the tube current."""
ANGLES = 60
COARSE = 2
"""Pixels of a plane to one of the projected slice, along each edge."""
SOFT_HU = (-10.0, 90.0)
HARDENED = (0.01, 0.2)
"""Share of the squared bone that a ray lacks."""
STARVED_HU = (1.0, 9.0)
"""Standard deviation of the streaking noise in the middle of a slice."""

Field = NDArray[np.float32]


@lru_cache(maxsize=2)
def _beams(size: int) -> csr_array:
    """(pixels, angles x detectors) weights by which a pixel is seen by the two detectors nearest to its shadow."""
    angle = (np.arange(ANGLES) * (math.pi / ANGLES))[:, None]
    line = np.arange(size) - (size - 1) / 2
    y, x = (part.ravel()[None] for part in np.meshgrid(line, line, indexing="ij"))
    at = x * np.cos(angle) + y * np.sin(angle) + (size - 1) / 2
    low = np.floor(at).astype(np.int64)
    rows, columns, weights = [], [], []
    for detector, weight in ((low, 1.0 - (at - low)), (low + 1, at - low)):
        seen = (detector >= 0) & (detector < size)
        rays, pixels = np.nonzero(seen)
        rows.append(pixels)
        columns.append(rays * size + detector[seen])
        weights.append(weight[seen])
    values, pixels, detectors = (np.concatenate(part) for part in (weights, rows, columns))
    return csr_array((values.astype(np.float32), (pixels, detectors)), shape=(size * size, ANGLES * size))


@lru_cache(maxsize=2)
def _beams_across(size: int) -> csr_array:
    return csr_array(_beams(size).T)


def project(image: Field, pixel_mm: float) -> Field:
    """(slices, angles, size) integrals along parallel rays, of (slices, size, size)."""
    size = image.shape[-1]
    rays = _beams_across(size) @ image.reshape(len(image), -1).T
    return np.asarray(rays.T.reshape(len(image), ANGLES, size) * pixel_mm, np.float32)


def project_back(sinogram: Field, pixel_mm: float) -> Field:
    """(slices, size, size) of which (slices, angles, size) are the integrals: ramp filter, then back along the rays."""
    size = sinogram.shape[-1]
    ramp = rfftfreq(2 * size, d=pixel_mm).astype(np.float32)
    filtered = irfft(rfft(sinogram, n=2 * size) * ramp, n=2 * size)[..., :size]
    pixels = _beams(size) @ filtered.reshape(len(sinogram), -1).T.astype(np.float32)
    return np.asarray(pixels.T.reshape(-1, size, size) * (math.pi / ANGLES), np.float32)


def hardening(hu: Field, pixel_mm: float) -> Field:
    """(slices, size, size) HU of error, were a ray to lack the whole square of its bone; median 0 in soft tissue.

    Parameters
    ----------
    hu : (slices, size, size).
    """
    bone = project(np.clip(hu - BONE_HU, 0.0, None) / 1000.0 * WATER_PER_MM, pixel_mm)
    error = -project_back(bone**2, pixel_mm) / WATER_PER_MM * 1000.0
    soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
    middle = [np.median(plane[where]) if where.any() else 0.0 for plane, where in zip(error, soft, strict=True)]
    return np.asarray(error - np.array(middle, np.float32)[:, None, None])


def starvation(hu: Field, pixel_mm: float, rng: np.random.RandomState) -> Field:
    """(slices, size, size) noise of rays, larger where they lose more on their way; SD of 1 over the middle third.

    Parameters
    ----------
    hu : (slices, size, size).
    """
    loss = project(np.clip(1.0 + hu / 1000.0, 0.0, None) * WATER_PER_MM, pixel_mm).clip(max=MOST_LOSS)
    image = project_back((rng.standard_normal(loss.shape) * np.exp(loss / 2)).astype(np.float32), pixel_mm)
    third = image.shape[-1] // 3
    return np.asarray(image / max(float(image[:, third:-third, third:-third].std()), 1e-6), np.float32)


class RandStreaksd(MapTransform, Randomizable):  # type: ignore[misc]
    """Hardened and starved rays, on a slice and its neighbours alike.

    Parameters
    ----------
    key : (3, size, size) HU of whole planes; the size is even.
    pixel_mm : of the planes.
    share : of the samples that are changed.
    """

    def __init__(self, key: str, pixel_mm: float, share: float) -> None:
        super().__init__([key])
        self.key, self.pixel_mm, self.share = key, pixel_mm, share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bone and what lies around the head stay as they are clipped by the network's windows anyway."""
        if self.R.uniform() >= self.share:
            return dict(data)
        image = torch.as_tensor(data[self.key])
        coarse = torch.nn.functional.avg_pool2d(image[None], COARSE)[0].numpy()
        hu, pixel_mm = np.clip(coarse, -1000.0, 2000.0), self.pixel_mm * COARSE
        error = float(self.R.uniform(*HARDENED)) * hardening(hu, pixel_mm)
        error = error + float(np.exp(self.R.uniform(*np.log(STARVED_HU)))) * starvation(hu, pixel_mm, self.R)
        fine = torch.nn.functional.interpolate(torch.from_numpy(error)[None], scale_factor=COARSE, mode="bilinear")[0]
        return {**data, self.key: image + fine}

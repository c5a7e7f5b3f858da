"""Blood that hardly shows: days old, thinned by fluid, of anaemic patients, or settling.

Clots of hours measure 50 to 80 HU and are what a cohort paints and a reader sees first. Blood of real slices measures
36 to 58 HU beside brain of 34 (``benchmarks/real_slices.py``); who has learned from fresh clots leaves it alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray
from scipy import ndimage

BRAIN_HU = 34.0
BONE_HU = 90.0
LEAST_HU = 5.0
"""Above brain; what is fainter no reader would outline."""
SMOOTH_PIXELS = 1.5
"""Blood loses its attenuation and keeps the noise of the scan: what is finer than this stays."""
RIM_PIXELS = 1.0

Field = NDArray[np.float32]


def faded(hu: Field, blood: Field, left_hu: float, brain_hu: float = BRAIN_HU) -> Field:
    """(slices, rows, columns) HU in which blood stands ``left_hu`` above brain on average, if it stood higher.

    Parameters
    ----------
    hu, blood : (slices, rows, columns); ``blood`` is the share of each pixel, 0 to 1.
    """
    soft = np.where(hu < BONE_HU, blood, 0.0).astype(np.float32)
    sigma = (0.0, SMOOTH_PIXELS, SMOOTH_PIXELS)
    weight = ndimage.gaussian_filter(soft, sigma)
    above = ndimage.gaussian_filter(soft * (hu - brain_hu), sigma) / np.maximum(weight, 1e-3)
    mean_hu = float((soft * (hu - brain_hu)).sum() / max(float(soft.sum()), 1e-3))
    if mean_hu <= left_hu:
        return hu
    rim = ndimage.gaussian_filter(blood, (0.0, RIM_PIXELS, RIM_PIXELS)) * (hu < BONE_HU)
    lost = (1.0 - left_hu / mean_hu) * np.clip(above, 0.0, None) * np.clip(rim, 0.0, 1.0)
    return np.asarray(hu - lost, np.float32)


class RandFaintd(MapTransform, Randomizable):  # type: ignore[misc]
    """Blood of a random attenuation, from as it is down to hardly more than brain.

    Parameters
    ----------
    image, blood : keys of (3, size, size) HU and shares of blood; the latter is used up.
    brain_hu : what brain measures.
    share : of the samples that are changed.
    """

    def __init__(self, image: str, blood: str, brain_hu: float, share: float) -> None:
        super().__init__([image, blood])
        self.image, self.blood, self.brain_hu, self.share = image, blood, brain_hu, share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A neighbouring slice fades as its slice does."""
        kept = {key: value for key, value in data.items() if key != self.blood}
        chosen = self.R.uniform() < self.share
        left_hu = float(np.exp(self.R.uniform(np.log(LEAST_HU), np.log(30.0))))
        blood = np.asarray(data[self.blood], np.float32)
        if chosen and blood.any():
            hu = np.asarray(data[self.image], np.float32)
            kept[self.image] = torch.from_numpy(faded(hu, blood, left_hu, self.brain_hu))
        return kept

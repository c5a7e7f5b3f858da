"""Takes out a scanner's calibration error: brain is moved to where a model knows it.

Scanners differ by some HU, 15 at worst, and blood is only some 30 HU brighter than brain: a model that trusts absolute
values takes the grey matter of one scanner for the blood of another. The commonest attenuation within a head is that of
its parenchyma, and no bleed, infarct or atrophy outweighs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicomnode.measure.parenchyma import commonest_soft_tissue_hu

MOST_HU = 25.0
"""A larger shift is no calibration error."""


def brain_offset_hu(hu: NDArray[np.generic], reference_hu: float) -> float:
    """How far the commonest soft-tissue value lies above ``reference_hu``, at most ``MOST_HU`` either way.

    Parameters
    ----------
    hu : of a head's slices, any shape.

    Returns
    -------
    HU to be subtracted; 0 where there is no soft tissue.
    """
    mode = commonest_soft_tissue_hu(hu)
    return 0.0 if mode is None else float(np.clip(mode - reference_hu, -MOST_HU, MOST_HU))


class CalibrateBraind:
    """Dictionary transform (MONAI style): moves the HU of an exam so that its brain lies at ``reference_hu``.

    Parameters
    ----------
    reference_hu : commonest attenuation of the heads that the model learned from.
    """

    def __init__(self, reference_hu: float) -> None:
        self.reference_hu = float(reference_hu)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """{"image": (3, slices, rows, columns) HU: below, slice, above} -> the same, calibrated."""
        image = torch.as_tensor(data["image"])
        return {**data, "image": image - brain_offset_hu(image[1].cpu().numpy(), self.reference_hu)}

"""How blood looks: even or with pockets of unclotted blood, and mixed with what it borders on."""

from __future__ import annotations

import numpy as np

from dicomnode.cohort.fields import Field
from dicomnode.cohort.second.ground import Ground, Index

LEAST_MEAN_HU = 54.0
"""Mean attenuation of a clot, whatever its pockets: blurred by a scanner it stays near the median of real masks, 50."""


def clot_hu(ground: Ground, index: Index, swirl: float = 18.0) -> Field:
    """(voxels,) attenuation of clot at flat indices: a texture of its own, dark pockets where heterogeneous.

    Parameters
    ----------
    swirl : HU by which the most heterogeneous clots are mottled, in a quarter of them: most of a clot stays bright.
    """
    shown, canvas = ground.shown, ground.canvas
    hu = (
        shown.clot_hu
        + 1.6 * canvas.noise("clot", 4.0).ravel()[index]
        + 1.6 * canvas.noise("clot core", 14.0).ravel()[index]
    )
    if shown.heterogeneity * swirl > 0:
        pockets = np.clip(canvas.noise("swirl", 8.0).ravel()[index] - 0.55, 0.0, 1.2)
        hu = hu - swirl * shown.heterogeneity * pockets
    return np.asarray(hu + max(LEAST_MEAN_HU - float(hu.mean()), 0.0) if hu.size else hu, np.float32)


def lay(ground: Ground, index: Index, share: Field, value: Field) -> None:
    """Mix blood into brain and CSF by its share of each voxel; of a voxel with bone, into the part that is not bone."""
    hu, inside = ground.canvas.hu.ravel(), ground.inside.ravel()[index]
    mixed = hu[index] + share * (value - hu[index])
    beside_bone = hu[index] + share * inside * (value - 10.0)
    hu[index] = np.where(inside < 0.999, beside_bone, mixed)

"""The ideal midline of a painted head: between the places where the falx holds on to the skull, in front and behind.

From it a reader measures midline shift, since it is what a scan shows. A head is bent: where its septum lay before
anything moved differs from this line by up to a millimetre or two, and no scan tells by how much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import CENTRE_MM, EXTENT_MM, Canvas, Tissue
from dicomnode.cohort.fields import Field
from dicomnode.cohort.mass_effect import SEPTUM
from dicomnode.cohort.painter import Anatomy

DEEP_MM = (1.0, 5.0)
"""How deep below the inner skull the falx is looked at."""
HEIGHT_MM, ASIDE_MM = 2.5, 7.0
"""Above and below the septum, and beside the midline, where its ends are looked for."""


def attachments_mm(base: Anatomy) -> NDArray[np.float64]:
    """(2, 3) patient coordinates of the front and the back end of the falx at the height of the septum."""
    canvas, falx = base.canvas, falx_mm(base)
    near = (-base.distance > DEEP_MM[0]) & (-base.distance < DEEP_MM[1])
    near &= (np.abs(canvas.z - SEPTUM[2]) < HEIGHT_MM) & (np.abs(falx) < ASIDE_MM)
    return np.stack([_end_mm(canvas, falx, near & (sign * canvas.y > 30.0)) for sign in (-1.0, 1.0)])


def falx_mm(base: Anatomy) -> Field:
    """(z, y, x) how far each voxel lies to the left of the falx, as :mod:`dicomnode.cohort.brain` paints it."""
    canvas = base.canvas
    # a head that was warped from a template has the template's own, which is straight
    painted = bool((canvas.labels == Tissue.DURA).any())
    return canvas.x + 0.8 * canvas.noise("falx", 25.0) if painted else canvas.x


def _end_mm(canvas: Canvas, falx: Field, near: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(3,) where the falx runs among some voxels: their places by linear regression on the distance from it."""
    block_mm = np.argwhere(near)[:, ::-1] * canvas.spacing_mm + block_origin_mm(canvas)
    terms = np.stack([np.ones(len(block_mm)), falx[near].astype(np.float64)], axis=1)
    fit, *_ = np.linalg.lstsq(terms, block_mm, rcond=None)
    return np.asarray(fit[0])


def block_origin_mm(canvas: Canvas) -> NDArray[np.float64]:
    """(x, y, z) of the centre of the first voxel of a painted block, patient coordinates."""
    sides = zip(EXTENT_MM, CENTRE_MM, strict=True)
    return np.array([0.5 * canvas.spacing_mm - extent / 2 - shift for extent, shift in sides])[::-1]


def shift_from_ideal_mm(base: Anatomy, septum_mm: NDArray[np.float64]) -> float:
    """How far a septum lies to the left of the ideal midline.

    Parameters
    ----------
    septum_mm : (3,) patient coordinates.
    """
    front, back, septum = (base.canvas.rotation @ point for point in (*attachments_mm(base), septum_mm))
    share = (septum[1] - front[1]) / (back[1] - front[1])
    return float(septum[0] - front[0] - share * (back[0] - front[0]))

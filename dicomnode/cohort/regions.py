"""Regions of the procedural head, as a label map on the head's own frame.

Borders are those of :mod:`dicomnode.measure.anatomy.atlas` in head coordinates before warp and rotation, at the places
where :mod:`dicomnode.cohort.brain` paints the same structures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort.canvas import Canvas, Tissue
from dicomnode.measure.anatomy.atlas import Label, labels_at


def region_map(canvas: Canvas, cavity: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Region of every voxel.

    Parameters
    ----------
    canvas : painted anatomy (its labels say where ventricles and falx are).
    cavity : (z, y, x) bool, the space within the skull; outside it it is ``NONE``.

    Returns
    -------
    (z, y, x) uint8 of :class:`~dicomnode.measure.anatomy.atlas.Label`.
    """
    x, y, z, tissue = canvas.x[cavity], canvas.y[cavity], canvas.z[cavity], canvas.labels[cavity]
    side, inner = np.abs(x), labels_at(x, y, z)
    falx = (side < 2.5) & ((np.abs(y) > 32.0) | (z > 28.0)) & (z > -12.0)
    inner[falx & ((tissue == Tissue.DURA) | (tissue == Tissue.CSF))] = Label.MIDLINE
    inner[tissue == Tissue.VENTRICLE] = Label.VENTRICLES
    result = np.zeros(cavity.shape, np.uint8)
    result[cavity] = inner
    return result

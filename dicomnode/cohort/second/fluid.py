"""Blood in CSF: between the leaves of the arachnoid and in the ventricles.

Blood takes the CSF's place to the share that CSF has in each voxel: so thin blood in a sulcus has no dark rim, and is
as pale as partial volume makes it. A sulcus that blood fills is wider than it was. A voxel counts as blood from
``COUNTED`` on.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.fields import Field
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Surface
from dicomnode.cohort.second.clot import clot_hu
from dicomnode.cohort.second.ground import Ground, Index
from dicomnode.cohort.second.sheets import SKULL_MM, subdural_axis

BRAIN_HU = 32.0
"""Cortex and white matter on the two sides of a sulcus, about."""
COUNTED = 0.35
LEAST = 0.06
DILUTED = 0.08
"""Share of CSF in blood between the leaves."""
OPENED_MM, OPENED = 1.0, 0.7
"""Blood pushes the walls of a sulcus so far apart; its share of what it pushed away."""


def csf_share(ground: Ground, tissue: Tissue, opened_mm: float = 0.0) -> tuple[Index, Field]:
    """Share of CSF in the voxels of a space and around it, judged by their attenuation.

    Parameters
    ----------
    opened_mm : the walls are moved so far.

    Returns
    -------
    Flat indices, and the share of each.
    """
    canvas = ground.canvas
    space = canvas.labels == tissue
    if not space.any():
        return np.zeros(0, np.intp), np.zeros(0, np.float32)
    csf_hu = float(np.percentile(canvas.hu[space], 20.0))
    around = binary_dilation(space) & (space | ground.matter) & (ground.inside > 0.999)
    index = np.flatnonzero(around)
    share = (BRAIN_HU - canvas.hu.ravel()[index]) / (BRAIN_HU - csf_hu)
    share = np.where(space.ravel()[index], np.maximum(share, 0.5), share)
    if opened_mm:
        filled = np.where(space.ravel()[index], 1.0, OPENED * min(opened_mm / canvas.spacing_mm, 1.0))
        share = np.maximum(share, filled)
    return index, np.asarray(np.clip(share, 0.0, 1.0), np.float32)


def _flood(
    ground: Ground, finding: Finding, space: tuple[Index, Field], order: Field, volume_ml: float, diluted: float
) -> None:
    """Fill voxels in order: as many that count as the volume asks for, and those between them that do not."""
    index, share = space
    counted = share >= COUNTED
    free = ground.findings.ravel()[index] == Finding.NONE
    grown = ground.put(finding, index[counted], order[counted], volume_ml)
    if not grown.size:
        return
    rank = np.full(ground.canvas.hu.size, np.inf, np.float32)
    rank[index] = order
    wet = free & (order <= rank[grown].max()) & (share > LEAST)
    here, part = index[wet], share[wet] * (1.0 - diluted)
    hu = ground.canvas.hu.ravel()
    hu[here] = (1.0 - part) * np.maximum(hu[here], BRAIN_HU) + part * clot_hu(ground, here, 0.0)


def paint_subarachnoid(ground: Ground) -> None:
    """Blood in sulci of the convexity (trauma), or in basal cisterns, Sylvian and interhemispheric fissures."""
    shown, canvas = ground.shown, ground.canvas
    index, share = csf_share(ground, Tissue.CSF, OPENED_MM)
    if not index.size:
        return
    x, y, z = (axis.ravel()[index] for axis in (canvas.x, canvas.y, canvas.z))
    side, depth = float(shown.side), -ground.distance.ravel()[index]
    if shown.subarachnoid is Surface.BASAL:
        order = np.sqrt(((x - side * 5.0) / 1.5) ** 2 + ((y + 8.0) / 1.1) ** 2 + ((z + 19.0) / 0.9) ** 2)
        order = order + 3.0 * canvas.noise("cistern blood", 12.0).ravel()[index]
        allowed = np.ones(index.size, bool)
    else:
        middle = subdural_axis(side, ground.rng("sulcal blood")) * SKULL_MM * 0.9
        order = np.sqrt((x - middle[0]) ** 2 + (y - middle[1]) ** 2 + (z - middle[2]) ** 2)
        order = order + 11.0 * canvas.noise("sulcal blood", 12.0).ravel()[index]
        allowed = (depth > 1.0) & (depth < 34.0)
    space = index[allowed], share[allowed]
    _flood(ground, Finding.SUBARACHNOID, space, np.asarray(order[allowed], np.float32), shown.sah_ml, DILUTED)


def paint_intraventricular(ground: Ground) -> None:
    """Blood that settles: a level in the horns behind while it is little, a cast as it fills them."""
    shown, canvas, rng = ground.shown, ground.canvas, ground.rng("ventricular blood")
    index, share = csf_share(ground, Tissue.VENTRICLE)
    if not index.size:
        return
    x, y, z = (axis.ravel()[index] for axis in (canvas.x, canvas.y, canvas.z))
    order = -ground.backward_mm(index) + 0.5 * canvas.noise("level", 6.0).ravel()[index]
    order = order - shown.side * rng.uniform(0.0, 5.0) * np.sign(x)
    clotted = rng.uniform(0.3, 1.0) * np.clip(shown.ivh_ml / 12.0, 0.0, 1.0)
    order = order + 9.0 * clotted * canvas.noise("cast", 11.0).ravel()[index]
    if not shown.infratentorial:
        order = order + 14.0 * ((z < -20.0) & (y > 30.0))
    _flood(ground, Finding.INTRAVENTRICULAR, (index, share), np.asarray(order, np.float32), shown.ivh_ml, 0.04)

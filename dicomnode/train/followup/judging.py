"""How near a predicted scan comes to the real one, where it matters, beside the rules that need no learning."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import pdist

from dicomnode.clinical.scores.rules import is_metallic
from dicomnode.train.agreement import image_measures
from dicomnode.train.followup.pairs import STAINED
from dicomnode.train.outputs.image import UNCHANGED
from dicomnode.train.tabular import ExamTensors
from dicomnode.zoo.followup.grid import VOXEL_MM
from dicomnode.zoo.networks.head_grid import USUAL_BRAIN_HU

RANGE_HU = 100.0
"""Of what matters in brain: fluid to fresh blood."""
NO_BLOOD, BLOOD = 0.05, 0.5
"""Share of blood in a voxel below which it counts as free of it, and above which as blood."""
CONSTANTS = "constants_"
"""Begins the columns of the rule that gives each kind of voxel on the first scan its usual change."""
LEAST_VOXELS = 20
METALLIC = "metallic_sign"
"""Column: 1 where the first scan shows the metallic hyperdensity sign, else 0."""
TOUCHING = np.ones((3, 3, 3), bool)
"""In fewer voxels no error is told."""
Hu = NDArray[np.float32]
Mask = NDArray[np.bool_]


def measured(sample: ExamTensors, change_hu: Hu, p_blood: Hu, constants: torch.Tensor) -> Mapping[str, float]:
    """The columns of one exam that are about its voxels.

    Parameters
    ----------
    change_hu, p_blood : (slabs, rows, columns) as predicted. constants : (kinds,) usual change of each kind, HU.
    """
    tensors = sample.tensors
    before, truth = tensors["head"][0].float().numpy(), tensors["target"].float().numpy()
    known, blood = tensors["known"].bool().numpy(), tensors["blood"].float().numpy()
    by_rule = constants[tensors["kind"].long()].numpy()
    row: dict[str, float] = {}
    for prefix, change in (("", change_hu), (UNCHANGED, np.zeros_like(truth)), (CONSTANTS, by_rule)):
        given = (before + change).astype(np.float32)
        whole = image_measures(truth, np.where(known, given, truth), known, RANGE_HU) if known.any() else {}
        row |= {prefix + name: value for name, value in {**whole, **_regions(tensors, given, truth)}.items()}
    return row | _blood(p_blood, blood, known)


def _regions(tensors: Mapping[str, torch.Tensor], given: Hu, truth: Hu) -> dict[str, float]:
    """Mean absolute error where something changes and there is no blood on the second scan, and where nothing does."""
    known, changed = tensors["known"].bool().numpy(), tensors["changed"].bool().numpy()
    free = tensors["blood"].float().numpy() < NO_BLOOD
    error = np.abs(given - truth)
    return {"changed_mae": _mean(error, known & changed & free), "outside_mae": _mean(error, known & ~changed)}


def _mean(values: Hu, where: Mask) -> float:
    return float(values[where].mean()) if int(where.sum()) >= LEAST_VOXELS else math.nan


def _blood(p: Hu, blood: Hu, known: Mask) -> dict[str, float]:
    """Brier score over the voxels of the brain, that of no blood anywhere, and what is needed for the base rate."""
    if not known.any():
        return {}
    truth = (blood[known] >= BLOOD).astype(np.float64)
    return {
        "voxel_brier": float(np.mean((p[known] - truth) ** 2)),
        "voxel_share": float(truth.mean()),
        "voxel_p": float(p[known].mean()),
    }


def metallic_sign(sample: ExamTensors) -> float:
    """The published rule on the staining as it is painted: a centimetre or more, above 90 HU; 1 present, 0 absent.

    Where it lies is not asked: the cohort stains basal ganglia and what lies about them. HU are counted from a brain of
    usual density, since that of a scan is not known on the grid.
    """
    densest_hu = sample.tensors["head"][2].float().numpy() + USUAL_BRAIN_HU
    labels, count = ndimage.label(sample.tensors["kind"].numpy() == STAINED, TOUCHING)
    places = ndimage.find_objects(labels)
    found = (_is_metallic(labels, densest_hu, number, places[number - 1]) for number in range(1, count + 1))
    return float(any(found))


def _is_metallic(
    labels: NDArray[np.int32], densest_hu: NDArray[np.floating], number: int, box: tuple[slice, ...]
) -> bool:
    inside = labels[box] == number
    corners_mm = np.argwhere(inside) * VOXEL_MM
    longest_mm = float(pdist(corners_mm).max(initial=0.0)) + min(VOXEL_MM)
    return is_metallic(longest_mm, float(densest_hu[box][inside].max()))

"""In which region a lesion arose, how it spreads over the regions, and how much of it lies in the ventricles.

A bleed pushes brain away: what lies under its edge is not where it arose. So the region is that of its centre, which
the skull's frame gives as it was before, and a voxel at distance r of a bleed of radius R is looked up where it came
from, at ``(r^3 - R^3)^(1/3)``, as in an incompressible medium. Blood that reaches further, into a ventricle, is found
by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.measure.anatomy.atlas import Label, labels_at
from dicomnode.records import BrainPart

UNSURE_MM = 3.0
"""A centre may lie this far from where the frame says: regions within it are all possible."""
VENTRICLES: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((0.0, 4.0, -2.0), (2.5, 13.0, 10.0)),
    ((0.0, 45.0, -40.0), (7.5, 5.0, 9.5)),
    ((9.0, 2.0, 20.0), (6.5, 28.0, 9.0)),
    ((9.5, -24.0, 12.0), (6.5, 14.0, 9.0)),
    ((23.0, 32.0, 8.0), (6.5, 16.0, 9.5)),
    ((31.0, 6.0, -18.0), (3.5, 16.0, 3.5)),
)
"""Centre and half axes in mm of third, fourth and the parts of the left lateral ventricle."""
_OFFSETS = np.concatenate([np.zeros((1, 3)), np.eye(3) * UNSURE_MM, -np.eye(3) * UNSURE_MM])
_PARTS = {
    "FRONTAL": BrainPart.FRONTAL,
    "PARIETAL": BrainPart.PARIETAL,
    "TEMPORAL": BrainPart.TEMPORAL,
    "OCCIPITAL": BrainPart.OCCIPITAL,
    "BASAL_GANGLIA": BrainPart.BASAL_GANGLIA,
    "THALAMUS": BrainPart.THALAMUS,
    "CEREBELLUM": BrainPart.CEREBELLUM,
    "BRAINSTEM": BrainPart.BRAINSTEM,
}
_PART_OF = {label: _PARTS.get(label.name.removesuffix("_LEFT").removesuffix("_RIGHT")) for label in Label}


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a lesion lies.

    Attributes
    ----------
    parts : that it may have arisen in, the likeliest first; one where it is certain.
    shares : of its volume, by part, the largest first; they add up to 1 with ``ventricular_share``.
    ventricular_share : of its volume, 0 to 1.
    """

    parts: tuple[BrainPart, ...]
    shares: tuple[tuple[BrainPart, float], ...]
    ventricular_share: float


def location_of(points_mm: NDArray[np.float64], volumes_ml: NDArray[np.float64]) -> Location:
    """Where a lesion lies.

    Parameters
    ----------
    points_mm : (voxels, 3) head coordinates.
    volumes_ml : (voxels,)
    """
    inner = _in_ventricles(points_mm, volumes_ml)
    kept = ~inner if (~inner).any() else np.ones_like(inner)
    centre = np.average(points_mm[kept], axis=0, weights=volumes_ml[kept])
    ventricular = float(volumes_ml[inner].sum() / volumes_ml.sum())
    return Location(
        parts=_possible(centre),
        shares=_shares(points_mm[~inner], volumes_ml[~inner] / volumes_ml.sum()),
        ventricular_share=ventricular,
    )


def _in_ventricles(points_mm: NDArray[np.float64], volumes_ml: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(voxels,) whether blood is in a ventricle: where it came from, once what is there is not taken for the bleed."""
    inner = np.zeros(len(points_mm), bool)
    for _ in range(2):
        outer = ~inner if (~inner).any() else np.ones_like(inner)
        centre = np.average(points_mm[outer], axis=0, weights=volumes_ml[outer])
        inner = in_ventricles(_before(points_mm, centre, float(volumes_ml[outer].sum())))
    return inner


def _before(points_mm: NDArray[np.float64], centre: NDArray[np.float64], volume_ml: float) -> NDArray[np.float64]:
    """(voxels, 3) where voxels came from when a bleed of a volume grew at a centre."""
    away = points_mm - centre
    r = np.linalg.norm(away, axis=1)
    came = np.cbrt(np.maximum(r**3 - 3000.0 * volume_ml / (4.0 * np.pi), 0.0))
    return np.asarray(centre + away * (came / np.maximum(r, 1e-6))[:, None])


def in_ventricles(points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(points,) whether head coordinates lie in a ventricle of usual size."""
    folded = np.column_stack([np.abs(points_mm[:, 0]), points_mm[:, 1:]])
    within = [(((folded - centre) / np.array(half)) ** 2).sum(axis=1) < 1.0 for centre, half in VENTRICLES]
    return np.asarray(np.any(within, axis=0))


def _possible(centre: NDArray[np.float64]) -> tuple[BrainPart, ...]:
    parts = [_PART_OF[Label(int(label))] for label in _labels(centre + _OFFSETS)]
    counted = {part: parts.count(part) + (part is parts[0]) * len(parts) for part in parts if part is not None}
    return tuple(sorted(counted, key=lambda part: -counted[part]))


def _shares(points_mm: NDArray[np.float64], shares: NDArray[np.float64]) -> tuple[tuple[BrainPart, float], ...]:
    summed: dict[BrainPart, float] = {}
    labels = _labels(points_mm)
    for label in np.unique(labels):
        part = _PART_OF[Label(int(label))]
        if part is not None:
            summed[part] = summed.get(part, 0.0) + float(shares[labels == label].sum())
    return tuple(sorted(summed.items(), key=lambda item: -item[1]))


def _labels(points_mm: NDArray[np.float64]) -> NDArray[np.uint8]:
    x, y, z = points_mm.astype(np.float32).T
    return labels_at(x, y, z)


def is_infratentorial(parts: Sequence[BrainPart]) -> bool | None:
    """Whether a lesion arose below the tentorium; None where both is possible, or nothing is known."""
    below = {part in (BrainPart.CEREBELLUM, BrainPart.BRAINSTEM) for part in parts}
    return below.pop() if len(below) == 1 else None

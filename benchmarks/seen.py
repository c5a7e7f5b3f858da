"""How a network that has learned on real patients judges one scan of the cohort: see ``benchmarks/critic.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects

from dicomnode.cohort.findings import Finding
from dicomnode.records import Volume
from dicomnode.zoo.head_check import brain_mask
from dicomnode.zoo.isotropic import isotropic
from dicomnode.zoo.networks.deepmedic import VOXEL_MM, DeepMedic, TraumaClass, normalised
from dicomnode.zoo.networks.dense import class_probabilities

LEAST_ML = 0.5
MARGIN_MM = 5
RIGHT = {
    Finding.INTRAPARENCHYMAL: TraumaClass.INTRAPARENCHYMAL,
    Finding.INTRAVENTRICULAR: TraumaClass.INTRAVENTRICULAR,
    Finding.SUBARACHNOID: TraumaClass.EXTRA_AXIAL,
    Finding.SUBDURAL: TraumaClass.EXTRA_AXIAL,
    Finding.SUBDURAL_ISODENSE: TraumaClass.EXTRA_AXIAL,
    Finding.SUBDURAL_CHRONIC: TraumaClass.EXTRA_AXIAL,
    Finding.EPIDURAL: TraumaClass.EXTRA_AXIAL,
    Finding.OEDEMA: TraumaClass.OEDEMA,
}
BLOODY = (TraumaClass.INTRAPARENCHYMAL, TraumaClass.EXTRA_AXIAL, TraumaClass.INTRAVENTRICULAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One lesion of one scan, or (``kind`` "none") what is marked where nothing is painted.

    Attributes
    ----------
    blood, right : share of the painted voxels marked as blood of any kind (oedema: as oedema), as the right kind.
    marked_ml : marked as blood; ``oedema_ml``: as oedema.
    """

    patient: str
    kind: str
    painted_ml: float
    mean_hu: float
    blood: float = 0.0
    right: float = 0.0
    dice: float = 0.0
    marked_ml: float = 0.0
    oedema_ml: float = 0.0


def on_cubes(volume: Volume, findings: NDArray[np.uint8]) -> tuple[torch.Tensor, NDArray[np.uint8]]:
    """(z, y, x) HU and kind of lesion at 1 mm."""
    hu, _ = isotropic(volume, VOXEL_MM)
    kinds = np.zeros(hu.shape, np.uint8)
    for finding in np.unique(findings[findings > 0]):
        share, _ = isotropic(replace(volume, hu=(findings == finding).astype(np.float32)), VOXEL_MM)
        kinds[share.numpy() > 0.5] = finding
    return hu, kinds


def marked(networks: Sequence[DeepMedic], hu: torch.Tensor, wanted: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(z, y, x) class of each voxel near a wanted one; background elsewhere."""
    result = np.zeros(wanted.shape, np.uint8)
    (box,) = find_objects(wanted.astype(np.uint8)) or [None]
    if box is not None:
        found = class_probabilities(networks, normalised(hu), box, torch.from_numpy(wanted))
        result[box] = found.argmax(dim=0).numpy()
    return result


def seen_in(networks: Sequence[DeepMedic], volume: Volume, findings: NDArray[np.uint8], patient: str) -> Iterator[Seen]:
    """Every lesion of a scan."""
    hu, kinds = on_cubes(volume, findings)
    large = [kind for kind in RIGHT if np.count_nonzero(kinds == kind) * VOXEL_MM**3 >= 1000.0 * LEAST_ML]
    near = {kind: distance_transform_edt(kinds != kind) <= MARGIN_MM for kind in large}
    classes = marked(networks, hu, np.logical_or.reduce([kinds > np.inf, *near.values()]))
    for kind in large:
        painted, right = kinds == kind, classes == RIGHT[kind]
        blood = right if kind is Finding.OEDEMA else np.isin(classes, BLOODY)
        # what lies on another lesion is judged with that one
        around = right & near[kind] & (painted | (kinds == Finding.NONE))
        yield Seen(
            patient=patient,
            kind=kind.name.lower(),
            painted_ml=round(float(painted.sum()) / 1000.0, 2),
            mean_hu=round(float(hu.numpy()[painted].mean()), 1),
            blood=round(float(blood[painted].mean()), 4),
            right=round(float(right[painted].mean()), 4),
            dice=round(float(2 * (right & painted).sum() / (painted.sum() + around.sum())), 4),
        )


def false_marks(networks: Sequence[DeepMedic], volume: Volume, findings: NDArray[np.uint8], patient: str) -> Seen:
    """What is marked within the skull, further than the margin from every painted lesion."""
    hu, kinds = on_cubes(volume, findings)
    within, _ = isotropic(replace(volume, hu=brain_mask(volume).astype(np.float32)), VOXEL_MM)
    free = within.numpy() > 0.5
    if kinds.any():
        free &= distance_transform_edt(kinds == Finding.NONE) > MARGIN_MM
    classes = marked(networks, hu, free) * free
    blood = np.isin(classes, BLOODY)
    return Seen(
        patient=patient,
        kind="none",
        painted_ml=0.0,
        mean_hu=round(float(hu.numpy()[blood].mean()), 1) if blood.any() else 0.0,
        marked_ml=round(float(blood.sum()) / 1000.0, 2),
        oedema_ml=round(float((classes == TraumaClass.OEDEMA).sum()) / 1000.0, 2),
    )

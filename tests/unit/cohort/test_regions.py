"""The procedural head knows its regions."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.head import SyntheticHead, make_head
from dicomnode.measure.anatomy.atlas import INFRATENTORIAL, Label

GRID_MM = 2.0
VOLUMES_ML = {
    "FRONTAL": (150, 330),
    "PARIETAL": (90, 240),
    "TEMPORAL": (60, 200),
    "OCCIPITAL": (30, 140),
    "BASAL_GANGLIA": (5, 20),
    "THALAMUS": (3, 9),
    "CEREBELLUM": (40, 110),
}
"""Wide limits about what an adult's half of the brain holds, CSF of the sulci included."""


@pytest.fixture(scope="module")
def head() -> SyntheticHead:
    return make_head(31, spacing_mm=GRID_MM)


def _centre(head: SyntheticHead, region: Label) -> np.ndarray:
    """(x, y, z) mm of the middle of a region."""
    index = np.stack(np.nonzero(head.regions == region), axis=-1).mean(axis=0)
    return np.asarray((index * head.spacing_mm + head.origin_mm)[::-1])


def test_every_voxel_of_brain_has_a_region_and_nothing_outside_the_skull_has_one(head: SyntheticHead) -> None:
    assert (head.regions[head.cavity] != Label.NONE).all()
    assert (head.regions[~head.cavity] == Label.NONE).all()
    assert set(np.unique(head.regions)) == set(Label)


@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("name", list(VOLUMES_ML))
def test_a_region_is_as_large_as_in_an_adult(head: SyntheticHead, name: str, side: str) -> None:
    volume = np.count_nonzero(head.regions == Label[f"{name}_{side}"]) * GRID_MM**3 / 1000
    assert VOLUMES_ML[name][0] <= volume <= VOLUMES_ML[name][1]


@pytest.mark.parametrize("name", list(VOLUMES_ML))
def test_left_is_left(head: SyntheticHead, name: str) -> None:
    left, right = _centre(head, Label[f"{name}_LEFT"]), _centre(head, Label[f"{name}_RIGHT"])
    assert left[0] > right[0] + 15
    assert left[1:] == pytest.approx(right[1:], abs=12)


def test_the_lobes_lie_about_each_other_as_in_a_skull(head: SyntheticHead) -> None:
    frontal, parietal, occipital, temporal, stem = (
        _centre(head, region)
        for region in (
            Label.FRONTAL_LEFT,
            Label.PARIETAL_LEFT,
            Label.OCCIPITAL_LEFT,
            Label.TEMPORAL_LEFT,
            Label.BRAINSTEM,
        )
    )
    assert frontal[1] < parietal[1] < occipital[1]
    assert temporal[2] < min(frontal[2], parietal[2])
    assert abs(stem[0]) < 6
    assert stem[2] < temporal[2]


def test_ventricles_are_the_painted_ones_and_the_cerebellum_lies_below_the_tentorium(head: SyntheticHead) -> None:
    assert ((head.regions == Label.VENTRICLES) == (head.cavity & (head.labels == Tissue.VENTRICLE))).all()
    z = np.nonzero(np.isin(head.regions, list(INFRATENTORIAL)))[0] * GRID_MM + head.origin_mm[0]
    assert np.percentile(z, 99) < 0

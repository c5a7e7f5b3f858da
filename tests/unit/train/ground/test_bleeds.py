"""Bleeds painted on a head that a program drew: where they lie, how large they are, what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dicomnode.cohort.findings import Finding
from dicomnode.train.ground.bleeds import Kind, Painted, clean, paint
from dicomnode.train.ground.ground import Ground, bent, ground_of
from tests.unit.train.heads import acquired_head
from tests.unit.zoo.volumes import volume_from

FINDING = {
    Kind.PARENCHYMAL: Finding.INTRAPARENCHYMAL,
    Kind.SUBDURAL: Finding.SUBDURAL,
    Kind.EPIDURAL: Finding.EPIDURAL,
    Kind.SUBARACHNOID: Finding.SUBARACHNOID,
    Kind.VENTRICULAR: Finding.INTRAVENTRICULAR,
}
SEEDS = range(3)


@pytest.fixture(scope="module")
def ground() -> Ground:
    return ground_of(volume_from(acquired_head(3)))


@pytest.fixture(scope="module")
def painted(ground: Ground) -> dict[Kind, list[Painted]]:
    return {kind: [paint(ground, kind, np.random.default_rng(seed)) for seed in SEEDS] for kind in Kind}


@pytest.mark.parametrize("kind", Kind)
def test_blood_lies_within_the_skull_and_is_brighter_than_the_brain(
    ground: Ground, painted: dict[Kind, list[Painted]], kind: Kind
) -> None:
    for one in painted[kind]:
        blood = one.findings == FINDING[kind]
        assert blood.any()
        assert not (blood & ~ground.brain).any()
        assert one.hu[blood].mean() > ground.brain_hu + 8.0


def test_nothing_changes_far_from_a_bleed_and_nothing_at_all_without_one(
    ground: Ground, painted: dict[Kind, list[Painted]]
) -> None:
    assert np.array_equal(clean(ground).hu, ground.volume.hu)
    for one in painted[Kind.PARENCHYMAL]:
        away = ndimage.distance_transform_edt(one.findings == 0, sampling=(5.0, 0.5, 0.5)) > 6.0
        assert np.array_equal(one.hu[away], ground.volume.hu[away])
    for kind in (Kind.SUBDURAL, Kind.EPIDURAL):
        for one in painted[kind]:
            assert np.array_equal(one.hu[~ground.brain], ground.volume.hu[~ground.brain])


def test_a_crescent_lies_on_the_skull_on_one_side_and_is_wider_than_a_lens(
    ground: Ground, painted: dict[Kind, list[Painted]]
) -> None:
    middle = ground.points_mm[ground.brain][:, 0].mean()
    extents = {Kind.SUBDURAL: [], Kind.EPIDURAL: []}
    for kind, found in extents.items():
        for one in painted[kind]:
            blood = one.findings == FINDING[kind]
            assert len(np.unique(np.sign(ground.points_mm[blood][:, 0] - middle))) == 1
            assert ground.depth_mm[blood].min() < 2.0
            found.append(np.ptp(ground.points_mm[blood], axis=0).max() / ground.depth_mm[blood].max())
    assert np.mean(extents[Kind.SUBDURAL]) > 1.5 * np.mean(extents[Kind.EPIDURAL])


def test_the_brain_gives_way_to_a_lens(ground: Ground, painted: dict[Kind, list[Painted]]) -> None:
    for one in painted[Kind.EPIDURAL]:
        blood = one.findings == Finding.EPIDURAL
        below = ground.brain & ~blood & (np.abs(one.hu - ground.volume.hu) > 0.5)
        assert np.count_nonzero(below) > 0.3 * np.count_nonzero(blood)
        # what moved is brain and fluid still, no air and no bone
        assert np.percentile(one.hu[below], 1) > -60.0


def test_blood_in_fluid_leaves_the_tissue_between_alone(ground: Ground, painted: dict[Kind, list[Painted]]) -> None:
    for one in painted[Kind.SUBARACHNOID]:
        tissue = ground.fluid == 0.0
        assert np.abs(one.hu[tissue] - ground.volume.hu[tissue]).max() < 1e-3


def test_the_same_seed_paints_the_same_and_another_another(ground: Ground) -> None:
    first, again, other = (paint(ground, Kind.SUBDURAL, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.hu, again.hu)
    assert not np.array_equal(first.findings, other.findings)


def test_a_bent_head_is_still_a_head_of_nearly_the_same_size(ground: Ground) -> None:
    def brain_ml(one: Ground) -> float:
        return one.volume.stack.volume_ml(one.brain)

    other = ground_of(bent(ground.volume, np.random.default_rng(4)))
    assert brain_ml(other) == pytest.approx(brain_ml(ground), rel=0.2)
    assert not np.array_equal(other.volume.hu, ground.volume.hu)

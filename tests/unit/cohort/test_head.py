"""Synthetic heads: determinism, anatomy, bleeds."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.head import BleedOrder, SyntheticHead, make_head
from dicomnode.cohort.statistics import BLEED_STATISTICS, BleedKind
from dicomnode.cohort.streams import derived_seed, stream

GRID_MM = 2.0


@pytest.fixture(scope="module")
def healthy() -> SyntheticHead:
    return make_head(11, spacing_mm=GRID_MM)


def test_the_same_seed_makes_the_same_head_bit_for_bit(healthy: SyntheticHead) -> None:
    again = make_head(11, spacing_mm=GRID_MM)
    assert again.hu.tobytes() == healthy.hu.tobytes()
    assert again.labels.tobytes() == healthy.labels.tobytes()


def test_another_seed_makes_another_head(healthy: SyntheticHead) -> None:
    assert np.mean(make_head(12, spacing_mm=GRID_MM).labels != healthy.labels) > 0.02


def test_a_named_stream_depends_on_its_name_only() -> None:
    assert stream(5, "a", 1).random() == stream(5, "a", 1).random()
    assert stream(5, "a", 1).random() != stream(5, "a", 2).random()
    assert derived_seed(5, "head", 0) != derived_seed(6, "head", 0)


def test_a_bleed_leaves_the_anatomy_as_it_is(healthy: SyntheticHead) -> None:
    bled = make_head(11, bleeds=(BleedOrder(BleedKind.INTRAPARENCHYMAL, 20.0),), spacing_mm=GRID_MM)
    assert np.array_equal(bled.labels, healthy.labels)
    bone = healthy.labels == Tissue.SKULL
    assert np.array_equal(bled.hu[bone], healthy.hu[bone])
    assert not healthy.mask.any()


@pytest.mark.parametrize("kind", list(BleedKind))
def test_a_bleed_has_its_volume_its_density_and_lies_within_the_skull(kind: BleedKind, healthy: SyntheticHead) -> None:
    head = make_head(11, bleeds=(BleedOrder(kind, 6.0, 62.0),), spacing_mm=GRID_MM)
    assert head.volume_ml == pytest.approx(6.0, abs=GRID_MM**3 / 1000)
    assert head.volume_ml == pytest.approx(head.bleeds[0].volume_ml)
    assert 50 <= head.hu[head.mask].mean() <= 80
    assert head.cavity[head.mask].all()
    assert not (healthy.labels[head.mask] == Tissue.SKULL).any()


def test_tissues_have_the_attenuation_of_the_textbook(healthy: SyntheticHead) -> None:
    limits = {
        Tissue.CSF: (-2, 20),
        Tissue.VENTRICLE: (-2, 18),
        Tissue.WHITE_MATTER: (20, 34),
        Tissue.GREY_MATTER: (26, 44),
        Tissue.VENOUS_SINUS: (40, 75),
        Tissue.SKULL: (300, 1900),
    }
    for tissue, (low, high) in limits.items():
        assert low <= np.median(healthy.hu[healthy.labels == tissue]) <= high, tissue.name
    assert healthy.hu[0, 0, 0] == -1000


def test_a_head_holds_as_much_brain_as_an_adult(healthy: SyntheticHead) -> None:
    cavity_ml = np.count_nonzero(healthy.cavity) * GRID_MM**3 / 1000
    assert 1100 <= cavity_ml <= 1900


def test_drawn_volumes_follow_the_published_distribution() -> None:
    from dicomnode.cohort.bleeds import draw_volume_ml

    rng = stream(1, "volumes")
    volumes = [draw_volume_ml(BleedKind.INTRAPARENCHYMAL, rng) for _ in range(2000)]
    fit = BLEED_STATISTICS[BleedKind.INTRAPARENCHYMAL]
    assert np.median(volumes) == pytest.approx(np.exp(fit.log_mean), rel=0.2)
    assert fit.volume_limits_ml[0] <= min(volumes)
    assert max(volumes) <= fit.volume_limits_ml[1]

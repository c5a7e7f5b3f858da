"""Injured patients of the second edition."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dicomnode.cohort.lesions import Lesions, Subdural, Surface
from dicomnode.cohort.second.trauma import BRUISED, VISIBLE, draw_trauma

Drawn = dict[str, object]


@pytest.fixture(scope="module")
def drawn() -> list[Lesions]:
    ages = np.random.default_rng(3).integers(18, 95, 1200)
    return [Lesions(**draw_trauma(1.0, seed, int(age))) for seed, age in enumerate(ages)]


def test_enough_have_each_bleed_to_judge_a_model_on(drawn: list[Lesions]) -> None:
    of_620 = {
        "subdural": np.mean([one.sdh_ml > 0 for one in drawn]) * 620,
        "epidural": np.mean([one.edh_ml > 0 for one in drawn]) * 620,
        "subarachnoid": np.mean([one.sah_ml > 0 for one in drawn]) * 620,
    }
    assert min(of_620.values()) > 150, of_620
    assert 0.55 < np.mean([one.iph_ml > 0 for one in drawn]) < 0.65


def test_the_old_have_old_collections_and_the_young_fresh_ones() -> None:
    kinds = {
        age: Counter(
            one.subdural
            for one in (Lesions(**draw_trauma(1.0, seed, age)) for seed in range(800))
            if one.sdh_thickness_mm
        )
        for age in (25, 85)
    }
    for kind in (Subdural.CHRONIC, Subdural.ISODENSE, Subdural.ACUTE_ON_CHRONIC):
        assert kinds[85][kind] / kinds[85].total() > 0.07
        assert kinds[25][kind] / kinds[25].total() < 0.06
    assert kinds[25][Subdural.ACUTE] > kinds[85][Subdural.ACUTE]


def test_thin_collections_are_common_and_those_on_falx_and_tentorium_small(drawn: list[Lesions]) -> None:
    with_one = [one for one in drawn if one.sdh_thickness_mm]
    assert np.mean([one.sdh_thickness_mm < 5.0 for one in with_one]) > 0.3
    assert np.mean([one.sdh_thickness_mm > 10.0 for one in with_one]) > 0.1
    inner = [one for one in with_one if one.surface in (Surface.FALX, Surface.TENTORIUM)]
    assert len(inner) > 20
    assert np.mean([one.sdh_thickness_mm for one in inner]) == pytest.approx(2.8, abs=0.4)
    assert all(1.0 <= one.sdh_thickness_mm <= 8.0 for one in inner)


def test_most_contusions_have_a_rim_that_shows_and_so_has_bruised_brain_that_has_not_bled(drawn: list[Lesions]) -> None:
    contused = [one for one in drawn if one.iph_ml]
    assert all(one.contused and one.site_of_bleed in ("frontal lobe", "temporal lobe") for one in contused)
    assert np.mean([one.oedema_ml > 0 for one in contused]) == pytest.approx(VISIBLE, abs=0.05)
    assert all(6.0 <= one.oedema_hu <= 14.0 for one in contused if one.oedema_ml)
    unbled = [one for one in drawn if not one.iph_ml]
    assert np.mean([one.oedema_ml > 0 for one in unbled]) == pytest.approx(BRUISED * VISIBLE, abs=0.06)

"""Lesions of the brain itself in the second edition."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import label

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Lesions
from tests.unit.cohort.second.heads import GRID_MM, head, scene

CLOT = Lesions(
    side=1, atrophy=0.4, iph_ml=15.0, oedema_ml=14.0, oedema_hu=10.0, place_mm=(28.0, -42.0, 26.0), clot_hu=62.0
)
STAINED = Lesions(side=-1, atrophy=0.4, place_mm=(-26.0, -4.0, 6.0), stain_ml=6.0, stain_hu=110.0, hidden_ml=2.0)
INFARCT = Lesions(side=1, atrophy=0.4, place_mm=(34.0, 26.0, 40.0), infarct_ml=60.0, infarct_depth_hu=9.0)


def test_oedema_is_as_dark_as_stated_near_the_clot_and_fades_outwards() -> None:
    dry, painted = scene(dataclasses.replace(CLOT, oedema_ml=0.0, iph_ml=15.0)), scene(CLOT)
    rim = painted.findings == Finding.OEDEMA
    assert painted.volume_ml(Finding.OEDEMA) == pytest.approx(14.0, abs=GRID_MM**3 / 1000)
    assert painted.volume_ml(Finding.INTRAPARENCHYMAL) == pytest.approx(15.0, abs=GRID_MM**3 / 1000)
    white = rim & (painted.head.labels == Tissue.WHITE_MATTER)
    healthy = np.median(dry.head.hu[dry.head.labels == Tissue.WHITE_MATTER])
    assert 4.0 < healthy - np.median(painted.head.hu[white]) < 11.5
    assert white.sum() > 0.6 * rim.sum(), "it prefers white matter"


def test_oedema_without_blood_is_painted_too() -> None:
    painted = scene(dataclasses.replace(CLOT, iph_ml=0.0))
    assert painted.volume_ml(Finding.OEDEMA) == pytest.approx(14.0, abs=GRID_MM**3 / 1000)
    assert not painted.head.mask.any()


def test_contusions_are_several_and_mottled_and_a_clot_is_one_and_even() -> None:
    clot, bruised = (
        scene(dataclasses.replace(CLOT, place_mm=(18.0, -52.0, -6.0), oedema_ml=0.0, contused=contused))
        for contused in (False, True)
    )
    parts, spreads = [], []
    for painted in (clot, bruised):
        here = painted.findings == Finding.INTRAPARENCHYMAL
        labels, _ = label(here, np.ones((3, 3, 3)))
        parts.append(int((np.bincount(labels[here]) * GRID_MM**3 > 200.0).sum()))
        spreads.append(float(painted.head.hu[here].std()))
    assert parts[0] == 1
    assert parts[1] >= 2
    assert spreads[1] > spreads[0]


def test_staining_has_its_attenuation_at_the_core_alone_and_hides_the_blood_below_it() -> None:
    painted = scene(STAINED)
    here = painted.findings == Finding.STAINING
    assert painted.volume_ml(Finding.STAINING) == pytest.approx(6.0, abs=GRID_MM**3 / 1000)
    low, high = np.percentile(painted.head.hu[here], [10, 97])
    assert high > 95.0
    assert low < 75.0
    assert not painted.head.mask.any(), "the scan cannot tell it from blood, and the baseline does not say"


def test_an_infarct_is_dark_without_contrast_and_grows_where_it_lay() -> None:
    clean, small, large = (scene(dataclasses.replace(INFARCT, infarct_ml=ml)) for ml in (0.0, 60.0, 110.0))
    here = small.findings == Finding.INFARCT
    assert small.volume_ml(Finding.INFARCT) == pytest.approx(60.0, abs=GRID_MM**3 / 1000)
    assert clean.head.hu[here].mean() - small.head.hu[here].mean() > 5.0
    assert small.head.hu[here].std() < 0.75 * clean.head.hu[here].std()
    assert (large.findings[here] == Finding.INFARCT).mean() > 0.9
    reach = -head().distance[here]
    assert reach.min() < 8.0, "a wedge reaches the cortex"
    assert reach.max() > 35.0, "and comes from the deep"

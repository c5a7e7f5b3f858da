"""Calcium: where it lies, and its label on slices."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dicomnode.cohort.acquire import Acquisition
from dicomnode.cohort.canvas import Canvas, Tissue, blank_canvas
from dicomnode.cohort.findings import BLOOD, Finding
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.scene import Scene
from dicomnode.cohort.second.calcium import paint_calcium
from tests.unit.cohort.second.heads import GRID_MM, SLICES, head, scene, slices

CLOT = Lesions(side=1, atrophy=0.4, iph_ml=20.0, place_mm=(26.0, -4.0, 6.0), clot_hu=62.0)


def _with_speck(hu: float, blood: Finding = Finding.NONE) -> Scene:
    """A uniform brain of 30 HU with one voxel of 2 mm, at (0, 0, 0) of the slice through its middle, of calcium."""
    base = scene(Lesions(atrophy=0.4))
    findings, values = np.zeros_like(base.findings), np.full_like(base.head.hu, 30.0)
    at = tuple(round(-origin / GRID_MM) for origin in base.head.origin_mm)
    if blood:
        findings[at[0] - 3 : at[0] + 4, at[1] - 3 : at[1] + 4, at[2] - 3 : at[2] + 4] = blood
    findings[at], values[at] = Finding.CALCIUM, hu
    return dataclasses.replace(base, findings=findings, head=dataclasses.replace(base.head, hu=values))


def _middle(painted: Scene, thickness_mm: float) -> tuple[np.ndarray, np.ndarray]:
    origin = painted.head.origin_mm
    z = origin[0] + GRID_MM * round(-origin[0] / GRID_MM)
    scan = Acquisition(
        positions_mm=(z, z + 20.0), thickness_mm=thickness_mm, matrix=65, pixel_mm=1.0, noise_hu=0.0, holder=False
    )
    made = slices(painted, scan)
    return made.series.hu[0], made.findings[0]


@pytest.mark.parametrize(("hu", "labelled"), [(600.0, True), (160.0, True), (60.0, False)])
def test_two_millimetres_of_calcium_in_a_slice_of_five_are_labelled_where_they_show(hu: float, labelled: bool) -> None:
    values, findings = _middle(_with_speck(hu), 5.0)
    assert (findings == Finding.CALCIUM).any() == labelled
    assert values.max() < 0.75 * hu, "partial volume"
    assert (values[findings == Finding.CALCIUM] > 45.0).all()
    assert values[findings != Finding.CALCIUM].max() < 62.0, "what is left unlabelled is hardly denser than brain"


def test_calcium_within_blood_takes_no_label_from_it() -> None:
    _, findings = _middle(_with_speck(90.0, Finding.INTRAPARENCHYMAL), 5.0)
    assert (findings == Finding.INTRAPARENCHYMAL).any()
    assert not (findings == Finding.CALCIUM).any()


def test_blood_is_never_painted_over_calcium_nor_calcium_labelled_over_blood() -> None:
    base = head(seed=43, atrophy=0.9)
    calcium = base.canvas.labels == Tissue.CALCIFICATION
    assert calcium.any()
    painted = scene(dataclasses.replace(CLOT, atrophy=0.9, ivh_ml=8.0), base)
    dense = painted.findings == Finding.CALCIUM
    assert np.array_equal(dense, painted.head.labels == Tissue.CALCIFICATION), "whatever else is painted"
    scan = slices(painted)
    assert (scan.findings == Finding.CALCIUM).any()
    assert np.array_equal(scan.series.mask, np.isin(scan.findings, BLOOD))


def _calcified(seed: int, atrophy: float) -> Canvas:
    """Calcium alone, in air."""
    canvas = blank_canvas(seed, 2.4, (0.0, 0.0, 0.0), 0.0)
    everywhere = np.ones(canvas.shape, np.float32)
    paint_calcium(canvas, -60.0 * everywhere, everywhere, atrophy)
    return canvas


def test_old_heads_have_more_calcium_than_young_ones_and_most_in_the_plexus_and_pineal() -> None:
    found = {atrophy: [_calcified(seed, atrophy) for seed in range(60, 72)] for atrophy in (0.0, 1.0)}
    amounts = {
        atrophy: sum(np.count_nonzero(canvas.labels == Tissue.CALCIFICATION) for canvas in heads)
        for atrophy, heads in found.items()
    }
    assert amounts[1.0] > amounts[0.0] > 0
    seen = 0
    for canvas in found[1.0]:
        deep = canvas.labels == Tissue.CALCIFICATION
        plexus = deep & (np.abs(np.abs(canvas.x) - 22.5) < 8) & (np.abs(canvas.y - 31) < 9) & (np.abs(canvas.z - 7) < 8)
        seen += plexus.any()
    assert 6 <= seen <= 12


def test_slices_of_a_head_without_calcium_have_none() -> None:
    base = scene(Lesions(atrophy=0.4))
    bare = dataclasses.replace(base, findings=np.zeros_like(base.findings))
    assert not (slices(bare, SLICES).findings == Finding.CALCIUM).any()

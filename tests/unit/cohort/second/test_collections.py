"""Subdural and epidural collections: where they lie, how they look, and that brain makes way for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Lesions, Subdural, Surface
from dicomnode.cohort.scene import Scene
from dicomnode.cohort.second.sheets import PATCH_RAD, SKULL_MM
from tests.unit.cohort.second.heads import GRID_MM, head, scene

LAYERED = Lesions(side=1, atrophy=0.4, sdh_ml=20.0, sdh_old_ml=30.0, subdural=Subdural.LAYERED)
OLD = (Finding.SUBDURAL_ISODENSE, Finding.SUBDURAL_CHRONIC)


def _rows(painted: Scene, finding: Finding) -> NDArray[np.intp]:
    """Block rows (towards the couch) of a finding's voxels."""
    return np.asarray(np.nonzero(painted.findings == finding)[1])


@pytest.mark.parametrize("roll_deg", [0.0, 9.0])
def test_cells_settle_towards_the_couch_to_a_horizontal_level_however_the_head_is_turned(roll_deg: float) -> None:
    painted = scene(LAYERED, head(roll_deg=roll_deg))
    bright, dark = _rows(painted, Finding.SUBDURAL), _rows(painted, Finding.SUBDURAL_CHRONIC)
    assert dark.max() <= bright.min(), "all that is bright lies behind all that is dark: one row may hold both"
    hu = painted.head.hu
    assert (
        hu[painted.findings == Finding.SUBDURAL].mean() > hu[painted.findings == Finding.SUBDURAL_CHRONIC].mean() + 20
    )


@pytest.mark.parametrize(
    ("kind", "finding", "low", "high"),
    [
        (Subdural.ISODENSE, Finding.SUBDURAL_ISODENSE, 26.0, 44.0),
        (Subdural.CHRONIC, Finding.SUBDURAL_CHRONIC, 8.0, 30.0),
        (Subdural.ACUTE_ON_CHRONIC, Finding.SUBDURAL_CHRONIC, 8.0, 34.0),
        (Subdural.MIXED, Finding.SUBDURAL_ISODENSE, 26.0, 48.0),
    ],
)
def test_each_kind_has_its_volumes_labels_and_attenuation(
    kind: Subdural, finding: Finding, low: float, high: float
) -> None:
    bright_ml = 0.0 if kind in (Subdural.ISODENSE, Subdural.CHRONIC) else 12.0
    shown = Lesions(side=-1, atrophy=0.4, sdh_ml=bright_ml, sdh_old_ml=28.0, subdural=kind)
    painted = scene(shown)
    assert painted.volume_ml(finding) == pytest.approx(28.0, abs=GRID_MM**3 / 1000)
    assert painted.volume_ml(Finding.SUBDURAL) == pytest.approx(bright_ml, abs=GRID_MM**3 / 1000)
    assert low < np.median(painted.head.hu[painted.findings == finding]) < high
    assert not painted.head.mask[np.isin(painted.findings, OLD)].any(), "only fresh blood is in the mask of blood"


@pytest.mark.parametrize("surface", [Surface.CONVEXITY, Surface.FALX, Surface.TENTORIUM])
def test_a_subdural_stays_on_its_side_of_the_midline(surface: Surface) -> None:
    volume_ml = 60.0 if surface is Surface.CONVEXITY else 5.0
    painted = scene(Lesions(side=1, atrophy=0.4, sdh_ml=volume_ml, surface=surface, sdh_thickness_mm=4.0))
    x = head().canvas.x[painted.findings == Finding.SUBDURAL]
    assert x.min() > 0.0
    assert painted.volume_ml(Finding.SUBDURAL) == pytest.approx(volume_ml, abs=GRID_MM**3 / 1000)


def test_a_thin_subdural_covers_most_of_a_hemisphere_and_a_thick_one_of_the_same_volume_does_not() -> None:
    thin, thick = (
        scene(Lesions(side=1, atrophy=0.4, sdh_ml=35.0, sdh_thickness_mm=thickness_mm)) for thickness_mm in (5.0, 18.0)
    )
    depth = [-head().distance[painted.findings == Finding.SUBDURAL] for painted in (thin, thick)]
    assert depth[0].max() < 7.0
    assert 14.0 < depth[1].max() < 22.0
    behind = [np.ptp(head().canvas.y[painted.findings == Finding.SUBDURAL]) for painted in (thin, thick)]
    assert behind[0] > 110.0 > behind[1]


def test_an_epidural_is_a_lens_within_its_plate_of_bone() -> None:
    painted = scene(Lesions(side=-1, atrophy=0.3, edh_ml=45.0))
    here, canvas = painted.findings == Finding.EPIDURAL, head().canvas
    assert painted.volume_ml(Finding.EPIDURAL) == pytest.approx(45.0, abs=GRID_MM**3 / 1000)
    place = np.stack([canvas.x[here], canvas.y[here], canvas.z[here]]) / SKULL_MM[:, None]
    place /= np.linalg.norm(place, axis=0)
    middle = place.mean(axis=1) / np.linalg.norm(place.mean(axis=1))
    assert np.arccos(np.clip(middle @ place, -1.0, 1.0)).max() < PATCH_RAD + 0.15
    assert -head().distance[here].max() > 0.0
    assert -head().distance[here].min() > 12.0


def test_brain_moves_away_from_a_collection_and_none_is_painted_over() -> None:
    empty, painted = scene(Lesions(atrophy=0.4)), scene(Lesions(side=1, atrophy=0.4, sdh_ml=50.0))
    depth, side = -head().distance, head().canvas.x > 20.0
    here = painted.findings == Finding.SUBDURAL
    matter = [np.isin(one.head.labels, (Tissue.WHITE_MATTER, Tissue.GREY_MATTER)) for one in (empty, painted)]
    beside = side & (depth > 0) & (np.abs(head().canvas.z - 25.0) < 20.0)
    lost = np.count_nonzero(matter[0] & beside) - np.count_nonzero(matter[1] & beside & ~here)
    assert lost * GRID_MM**3 / 1000 < 0.75 * 50.0, "part of the room comes from CSF and from the other side"
    below = here & ~np.roll(here, 1, axis=2)
    z, y, x = np.nonzero(below)
    under = painted.head.hu[z, y, np.clip(x - 2, 0, None)]
    assert 15.0 < np.median(under) < 45.0, "brain, neither CSF nor bone, lies below it"
    assert painted.midline_shift_mm < -2.0


def test_sulci_below_an_isodense_collection_are_pressed_flat() -> None:
    shown = Lesions(side=1, atrophy=0.4, sdh_old_ml=50.0, subdural=Subdural.ISODENSE)
    empty, painted = scene(dataclasses.replace(shown, sdh_old_ml=0.0)), scene(shown)
    below = (-head().distance < 26.0) & (-head().distance > 2.0) & (np.abs(head().canvas.z - 30.0) < 15.0)
    left, right = (below & (head().canvas.x * side > 25.0) & (head().canvas.y < 20.0) for side in (1, -1))
    fluid = [
        [
            np.count_nonzero((one.head.labels == Tissue.CSF) & half & ~np.isin(one.findings, OLD))
            for half in (left, right)
        ]
        for one in (empty, painted)
    ]
    assert fluid[1][0] < 0.7 * fluid[0][0]
    assert fluid[1][1] > 0.8 * fluid[0][1]

"""Heads warped from a CT template. The template is no part of this repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.make import make_cohort
from dicomnode.cohort.scene import Anatomy, Finding, make_scene
from dicomnode.cohort.template import hounsfield, load_template, make_template_anatomy
from dicomnode.measure.anatomy.atlas import INFRATENTORIAL
from tests.unit.cohort.draws import DEEP, LOBAR

GRID_MM = 2.0
BLEED = Lesions(
    side=1, site_of_bleed="basal ganglia", place_mm=(26.0, -4.0, 6.0), iph_ml=30.0, ivh_ml=5.0, oedema_ml=10.0
)


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    pytest.importorskip("nibabel")
    anatomy = real_data / "anatomy"
    if not any(anatomy.rglob("scct.nii")):
        pytest.skip(f"no CT template below {anatomy}")
    return anatomy


@pytest.fixture(scope="module")
def warped(folder: Path) -> Anatomy:
    return make_template_anatomy(folder, 3, BLEED, spacing_mm=GRID_MM)


def test_cormack_units_become_hounsfield_units() -> None:
    hu = np.array([-1024.0, -500.0, -124.0, 0.0, 35.0, 76.0, 300.0, 1200.0])
    shifted = hu + 1024.0
    cormack = shifted + 10.0 * np.clip(shifted - 900.0, 0.0, 200.0)
    assert hounsfield(cormack) == pytest.approx(hu)


@pytest.mark.real_data
def test_a_warped_head_has_tissues_where_they_belong(warped: Anatomy) -> None:
    labels, hu = warped.canvas.labels, warped.canvas.hu
    limits = {
        Tissue.WHITE_MATTER: (18, 32),
        Tissue.GREY_MATTER: (24, 42),
        Tissue.VENTRICLE: (-5, 22),
        Tissue.SKULL: (300, 1900),
    }
    for tissue, (low, high) in limits.items():
        assert low <= np.median(hu[labels == tissue]) <= high, tissue.name
    cavity = warped.distance < 0
    assert 1200 < np.count_nonzero(cavity) * GRID_MM**3 / 1000 < 2300
    for group in (LOBAR, DEEP, INFRATENTORIAL):
        assert np.isin(warped.regions, list(group)).any()


@pytest.mark.real_data
def test_lesions_are_painted_into_a_warped_head(warped: Anatomy) -> None:
    scene = make_scene(warped, BLEED)
    assert scene.volume_ml(Finding.INTRAPARENCHYMAL) == pytest.approx(30.0, rel=0.01)
    assert scene.volume_ml(Finding.INTRAVENTRICULAR) == pytest.approx(5.0, rel=0.01)
    assert scene.midline_shift_mm < -1.0
    assert scene.head.hu[scene.head.mask].mean() > 50


@pytest.mark.real_data
def test_two_seeds_make_two_heads_and_one_seed_one(folder: Path, warped: Anatomy) -> None:
    again = make_template_anatomy(folder, 3, BLEED, spacing_mm=GRID_MM)
    other = make_template_anatomy(folder, 4, BLEED, spacing_mm=GRID_MM)
    assert np.array_equal(again.canvas.hu, warped.canvas.hu)
    assert np.mean(other.canvas.labels != warped.canvas.labels) > 0.02


@pytest.mark.real_data
def test_a_cohort_is_made_of_warped_heads(folder: Path, tmp_path: Path) -> None:
    make_cohort(tmp_path, 1, 5, progress=False, arm="ich", anatomy=folder, matrix=96, formats=("array",))
    hu = np.load(tmp_path / "patient-0001" / "ct.npy")
    brain = (hu > 0) & (hu < 80)
    assert brain.mean() > 0.05


def test_a_folder_without_a_template_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    with pytest.raises(FileNotFoundError, match=r"scct\.nii"):
        load_template(tmp_path)
